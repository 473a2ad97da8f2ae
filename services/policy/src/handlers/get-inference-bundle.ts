import type { InferenceRoute, PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { credentialPlaceholder } from "@sandgate/policy";
import type { Handler } from "@sandgate/rpc";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.GetInferenceBundle: the models that a sandbox's newest policy tells it of. There is no credential in it to leak. */
export function getInferenceBundle(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
}): Handler<typeof PolicyService.method.getInferenceBundle> {
  return async (_request, call) => {
    const state = await deps.store.findPolicy(sandboxScopeOf(call));
    return {
      policyRevision: state?.revision.revision ?? 0n,
      routes: (state?.revision.policy?.inference?.routes ?? []).map(describeRoute),
    };
  };
}

function describeRoute({ name, host, port, path, models, credential }: InferenceRoute) {
  const authority = port === 0 ? host : `${host}:${port}`;
  return {
    name,
    baseUrl: `https://${authority}${path.replace(/\/$/, "")}`,
    models,
    ...(credential === "" ? {} : { credential: { name: credential, text: credentialPlaceholder(credential) } }),
  };
}
