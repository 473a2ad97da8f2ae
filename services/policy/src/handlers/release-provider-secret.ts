import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { sandboxIdPattern } from "../domain/ids.ts";
import type { ProviderStore } from "../store/provider-store.ts";
import { authorOf } from "./author-of.ts";

/**
 * PolicyService.ReleaseProviderSecret: a secret for the proxy that has seen its placeholder. A proxy is trusted with the secrets of what it
 * carries, one at a time, each time on record.
 */
export function releaseProviderSecret(deps: {
  readonly providers: Pick<ProviderStore, "release">;
}): Handler<typeof PolicyService.method.releaseProviderSecret> {
  return async ({ sandboxId, placeholder, providerId, version }, call) => {
    if (!sandboxIdPattern.test(sandboxId))
      throw new ServiceError("REQUEST_INVALID", "this is no sandbox id", { field: "sandbox_id" });
    const request = { sandboxId, placeholder, providerId, version, author: authorOf(call) };
    return { secret: (await deps.providers.release(request)).reveal() };
  };
}
