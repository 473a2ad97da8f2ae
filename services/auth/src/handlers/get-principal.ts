import type { AuthService } from "@sandgate/api/auth";
import { PrincipalKind } from "@sandgate/api/options";
import { principalKey, type SubjectRegister } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";

/** AuthService.GetPrincipal: the caller, as every service sees it. */
export function getPrincipal(deps: {
  readonly store: Pick<SubjectRegister, "findSandbox" | "findUser">;
}): Handler<typeof AuthService.method.getPrincipal> {
  return async (_request, call) => {
    const principal = call.get(principalKey);
    switch (principal.kind) {
      case "user": {
        const { authenticator, spiffeId, userId } = principal;
        const value = await deps.store.findUser(userId);
        if (value === undefined) throw new ServiceError("CREDENTIAL_REVOKED", "the user is not in the register");
        return { kind: PrincipalKind.USER, spiffeId, authenticator, subject: { case: "user", value } };
      }
      case "sandbox": {
        const { authenticator, spiffeId, sandboxId } = principal;
        const value = await deps.store.findSandbox(sandboxId);
        if (value === undefined) throw new ServiceError("CREDENTIAL_REVOKED", "the sandbox is not in the register");
        return { kind: PrincipalKind.SANDBOX, spiffeId, authenticator, subject: { case: "sandbox", value } };
      }
      case "anonymous":
        throw new ServiceError("CREDENTIAL_MISSING", "this call needs a credential");
    }
  };
}
