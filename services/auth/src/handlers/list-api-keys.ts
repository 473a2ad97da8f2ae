import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ApiKeyStore } from "../store/api-key-store.ts";
import { apiKeyMessage } from "./api-key-message.ts";
import { pageOf, readPage } from "./read-page.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.ListApiKeys: the caller's API keys, or for administrators the organization's. */
export function listApiKeys(deps: {
  readonly store: Pick<ApiKeyStore, "list">;
}): Handler<typeof AuthService.method.listApiKeys> {
  return async (request, call) => {
    const principal = requireUserPrincipal(call);
    if (request.allUsers && principal.role < Role.ADMIN)
      throw new ServiceError("ROLE_TOO_LOW", "this call needs a higher role", { role: "ADMIN" });
    const { organizationId } = principal;
    const userId = request.allUsers ? undefined : principal.userId;
    const filter = { list: "api keys", organizationId, userId: userId ?? "" };
    const range = readPage(request, filter);
    const found = await deps.store.list({ organizationId, userId }, { ...range, limit: range.limit + 1 });
    const { page, nextPageToken } = pageOf(found, range, ({ id }) => id, filter);
    return { apiKeys: page.map(apiKeyMessage), nextPageToken };
  };
}
