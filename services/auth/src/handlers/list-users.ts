import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { UserDirectory } from "../store/user-directory.ts";
import { pageOf, readPage } from "./read-page.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { userMessage } from "./user-message.ts";

/** AuthService.ListUsers: the users of the caller's organization. */
export function listUsers(deps: {
  readonly directory: Pick<UserDirectory, "list">;
}): Handler<typeof AuthService.method.listUsers> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const filter = { list: "users", organizationId };
    const range = readPage(request, filter);
    const found = await deps.directory.list(organizationId, { ...range, limit: range.limit + 1 });
    const { page, nextPageToken } = pageOf(found, range, (user) => user.userId, filter);
    return { users: page.map(userMessage), nextPageToken };
  };
}
