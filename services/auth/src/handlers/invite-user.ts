import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import { newInvitation } from "../credentials/new-invitation.ts";
import type { UserStore } from "../store/user-store.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireLoginName } from "./require-login-name.ts";
import { requireRole } from "./require-role.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.InviteUser: an invitation into the caller's organization. Its token is in this answer and nowhere else. */
export function inviteUser(deps: {
  readonly store: Pick<UserStore, "invite">;
  readonly lifeMs: number;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.inviteUser> {
  return async (request, call) => {
    const { userId: inviterUserId, organizationId } = requireUserPrincipal(call);
    const login = requireLoginName(request.login, "login");
    const role = requireRole(request.role);
    const { token, invitation } = newInvitation(
      { organizationId, login, role, inviterUserId },
      { now: deps.clock(), lifeMs: deps.lifeMs },
    );
    const { id, expiresAtMs } = await deps.store.invite(invitation, actorOfCall(call));
    return { invitationId: id, token, expireTime: timestampFromMs(expiresAtMs) };
  };
}
