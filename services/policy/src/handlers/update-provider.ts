import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { readProviderSecret, readProviderSettings } from "../messages/provider-request.ts";
import { readRequestId } from "../messages/request-id.ts";
import type { ProviderStore } from "../store/provider-store.ts";
import { authorOf } from "./author-of.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.UpdateProvider: a provider's next version. Without the secret there is none: whoever does not know it sends it nowhere new. */
export function updateProvider(deps: {
  readonly providers: Pick<ProviderStore, "update">;
}): Handler<typeof PolicyService.method.updateProvider> {
  return async (request, call) => {
    const { name, provider } = request;
    if (provider !== undefined && provider.name !== "" && provider.name !== name)
      throw new ServiceError("REQUEST_INVALID", "a provider keeps its name", { field: "provider.name" });
    const settings = provider === undefined ? undefined : readProviderSettings({ ...provider, name });
    const secret = readProviderSecret(request.secret);
    const change = {
      organizationId: organizationOf(call),
      name,
      requestId: readRequestId(request.requestId),
      author: authorOf(call),
    };
    return { provider: await deps.providers.update(change, settings, secret) };
  };
}
