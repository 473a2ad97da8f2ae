import type { PolicyService } from "@sandgate/api/policy";
import type { Handler } from "@sandgate/rpc";
import { readRequestId } from "../messages/request-id.ts";
import type { ProviderStore } from "../store/provider-store.ts";
import { authorOf } from "./author-of.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.DeleteProvider: removes a provider and its secret; what the proxies do with it ends within a second. */
export function deleteProvider(deps: {
  readonly providers: Pick<ProviderStore, "delete">;
}): Handler<typeof PolicyService.method.deleteProvider> {
  return async (request, call) => {
    await deps.providers.delete({
      organizationId: organizationOf(call),
      name: request.name,
      requestId: readRequestId(request.requestId),
      author: authorOf(call),
    });
    return {};
  };
}
