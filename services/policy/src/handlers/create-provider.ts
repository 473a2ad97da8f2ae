import type { PolicyService } from "@sandgate/api/policy";
import type { Handler } from "@sandgate/rpc";
import { readProviderSecret, readProviderSettings } from "../messages/provider-request.ts";
import { readRequestId } from "../messages/request-id.ts";
import type { ProviderStore } from "../store/provider-store.ts";
import { authorOf } from "./author-of.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.CreateProvider: a secret that sandboxes may use and nobody reads again. */
export function createProvider(deps: {
  readonly providers: Pick<ProviderStore, "create">;
}): Handler<typeof PolicyService.method.createProvider> {
  return async (request, call) => {
    const settings = readProviderSettings(request.provider);
    const secret = readProviderSecret(request.secret);
    const change = {
      organizationId: organizationOf(call),
      name: settings.name,
      requestId: readRequestId(request.requestId),
      author: authorOf(call),
    };
    return { provider: await deps.providers.create(change, settings, secret) };
  };
}
