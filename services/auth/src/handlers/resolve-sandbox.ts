import type { AuthService } from "@sandgate/api/auth";
import type { SubjectRegister } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";

/** AuthService.ResolveSandbox: a sandbox by id, alive or retired, or the living one of a name. */
export function resolveSandbox(deps: {
  readonly store: Pick<SubjectRegister, "findSandbox" | "findSandboxByName">;
}): Handler<typeof AuthService.method.resolveSandbox> {
  const find = (key: Parameters<ReturnType<typeof resolveSandbox>>[0]["key"]) => {
    switch (key.case) {
      case "sandboxId":
        return deps.store.findSandbox(key.value);
      case "name":
        return isUuid(key.value.organizationId)
          ? deps.store.findSandboxByName(key.value.organizationId, key.value.name)
          : undefined;
      case undefined:
        throw new ServiceError("REQUEST_INVALID", "the request names no sandbox", { field: "key" });
    }
  };
  return async ({ key }) => {
    const subject = await find(key);
    if (subject === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
    return { subject };
  };
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text);
}
