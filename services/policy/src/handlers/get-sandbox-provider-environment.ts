import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { providerEnvironment } from "../messages/provider-environment.ts";
import type { ProviderStore } from "../store/provider-store.ts";

/** PolicyService.GetSandboxProviderEnvironment: placeholders and base URLs for a sandbox's workload. There is no secret in it to leak. */
export function getSandboxProviderEnvironment(deps: {
  readonly providers: Pick<ProviderStore, "listGranted">;
}): Handler<typeof PolicyService.method.getSandboxProviderEnvironment> {
  return async (_request, call) => {
    const granted = await deps.providers.listGranted([sandboxScopeOf(call).sandboxId]);
    return { environment: providerEnvironment(granted) };
  };
}
