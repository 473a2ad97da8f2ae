import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { UserDirectory } from "../store/user-directory.ts";
import { pageOf, readPage } from "./read-page.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.ListInvitations: the open invitations into the caller's organization. */
export function listInvitations(deps: {
  readonly directory: Pick<UserDirectory, "listInvitations">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.listInvitations> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const filter = { list: "invitations", organizationId };
    const range = readPage(request, filter);
    const wanted = { ...range, limit: range.limit + 1 };
    const found = await deps.directory.listInvitations(organizationId, wanted, deps.clock());
    const { page, nextPageToken } = pageOf(found, range, ({ login }) => login, filter);
    const invitations = page.map((invitation) => ({
      invitationId: invitation.id,
      login: invitation.login,
      role: invitation.role,
      inviterUserId: invitation.inviterUserId,
      createTime: timestampFromMs(invitation.createdAtMs),
      expireTime: timestampFromMs(invitation.expiresAtMs),
      userId: invitation.userId ?? "",
    }));
    return { invitations, nextPageToken };
  };
}
