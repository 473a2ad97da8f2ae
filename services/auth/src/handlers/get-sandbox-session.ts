import type { AuthService, GetSandboxSessionRequest } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { SandboxSessionStore } from "../store/sandbox-session-store.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { toSandboxSession } from "./sandbox-session-message.ts";
import { requireTokenId } from "./session-fields.ts";

/** AuthService.GetSandboxSession: the live session of a container token. */
export function getSandboxSession(deps: {
  readonly sessions: Pick<SandboxSessionStore, "find">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.getSandboxSession> {
  return async ({ key }, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const session = await deps.sessions.find(organizationId, readKey(key), deps.clock());
    if (session === undefined) throw new ServiceError("SANDBOX_SESSION_NOT_FOUND", "no such live session");
    return { session: toSandboxSession(session) };
  };
}

function readKey(key: GetSandboxSessionRequest["key"]): Parameters<SandboxSessionStore["find"]>[1] {
  switch (key.case) {
    case "tokenId":
      return { kind: "token_id", value: requireTokenId(key.value) };
    case "tokenSha256":
      if (!/^[0-9a-f]{64}$/.test(key.value))
        throw new ServiceError("REQUEST_INVALID", "a hash is 64 hexadecimal digits", { field: "token_sha256" });
      return { kind: "token_sha256", value: key.value };
    case undefined:
      throw new ServiceError("REQUEST_INVALID", "the request names no session", { field: "key" });
  }
}
