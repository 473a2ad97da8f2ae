import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ProviderStore } from "../store/provider-store.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.GetProvider: a provider's settings. Its secret is no part of them. */
export function getProvider(deps: {
  readonly providers: Pick<ProviderStore, "find">;
}): Handler<typeof PolicyService.method.getProvider> {
  return async ({ name }, call) => {
    const provider = await deps.providers.find(organizationOf(call), name);
    if (provider === undefined) throw new ServiceError("PROVIDER_NOT_FOUND", "no such provider");
    return { provider };
  };
}
