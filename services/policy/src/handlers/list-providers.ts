import type { PolicyService } from "@sandgate/api/policy";
import { encodePageToken } from "@sandgate/postgres";
import type { Handler } from "@sandgate/rpc";
import { readPageSize } from "../messages/page-size.ts";
import { readPageToken } from "../messages/page-token.ts";
import type { ProviderStore } from "../store/provider-store.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.ListProviders: the providers of the caller's organization, by name. */
export function listProviders(deps: {
  readonly providers: Pick<ProviderStore, "list">;
}): Handler<typeof PolicyService.method.listProviders> {
  return async (request, call) => {
    const organizationId = organizationOf(call);
    const filter = { list: "providers", organization: organizationId };
    const after = readPageToken(request.pageToken, [/^[a-z0-9][a-z0-9-]{0,62}$/], filter);
    const page = await deps.providers.list(organizationId, readPageSize(request.pageSize), after?.[0] ?? "");
    const end = page.items.at(-1);
    return {
      providers: [...page.items],
      nextPageToken: page.more && end !== undefined ? encodePageToken([end.name], filter) : "",
    };
  };
}
