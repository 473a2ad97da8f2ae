import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken, newSecretToken } from "../credentials/secret-token.ts";
import { parseLoginName } from "../domain/login-name.ts";
import type { UserStore } from "../store/user-store.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.InviteUser: an invitation into the caller's organization. Its token is in this answer and nowhere else. */
export function inviteUser(deps: {
  readonly store: Pick<UserStore, "invite">;
  readonly lifeMs: number;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.inviteUser> {
  return async (request, call) => {
    const { userId, organizationId } = requireUserPrincipal(call);
    const login = parseLoginName(request.login);
    if (login === undefined) throw new ServiceError("REQUEST_INVALID", "this is no login name", { field: "login" });
    const { role } = request;
    if (role !== Role.VIEWER && role !== Role.OPERATOR && role !== Role.ADMIN)
      throw new ServiceError("REQUEST_INVALID", "an invitation needs a role", { field: "role" });
    const now = deps.clock();
    const token = newSecretToken("sgi");
    const tokenHash = hashSecretToken("sgi", token);
    if (tokenHash === undefined) throw new Error("a new secret does not have its own checksum");
    const invitation = await deps.store.invite(
      {
        id: randomUUID(),
        organizationId,
        login,
        role,
        inviterUserId: userId,
        tokenHash,
        createdAtMs: now,
        expiresAtMs: now + deps.lifeMs,
      },
      actorOfCall(call),
    );
    return { invitationId: invitation.id, token, expireTime: timestampFromMs(invitation.expiresAtMs) };
  };
}
