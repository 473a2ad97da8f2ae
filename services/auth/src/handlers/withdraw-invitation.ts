import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { parseLoginName } from "../domain/login-name.ts";
import type { UserDirectory } from "../store/user-directory.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.WithdrawInvitation: an invitation into the caller's organization that cannot be accepted any more. */
export function withdrawInvitation(deps: {
  readonly directory: Pick<UserDirectory, "withdrawInvitation">;
}): Handler<typeof AuthService.method.withdrawInvitation> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const named = parseLoginName(request.invitation) ?? "";
    const decision = await deps.directory.withdrawInvitation(organizationId, named, actorOfCall(call));
    if (decision === "absent") throw new ServiceError("INVITATION_NOT_FOUND", "no such invitation");
    return {};
  };
}
