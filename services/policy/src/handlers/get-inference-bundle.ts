import type { InferenceRoute, PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { endpointCovers, parseHostName } from "@sandgate/policy";
import type { Handler } from "@sandgate/rpc";
import { baseUrlOf } from "../messages/provider-environment.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { GrantedProvider, ProviderStore } from "../store/provider-store.ts";

/**
 * PolicyService.GetInferenceBundle: the models that a sandbox's newest policy tells it of. Where a provider puts in the credential of a
 * route, its base URL is one by which the proxy can. There is no credential in it to leak.
 */
export function getInferenceBundle(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly providers: Pick<ProviderStore, "listGranted" | "listPlaceholders">;
}): Handler<typeof PolicyService.method.getInferenceBundle> {
  return async (_request, call) => {
    const scope = sandboxScopeOf(call);
    const state = await deps.store.findPolicy(scope);
    const routes = state?.revision.policy?.inference?.routes ?? [];
    if (routes.every(({ credential }) => credential === ""))
      return { policyRevision: state?.revision.revision ?? 0n, routes: routes.map((route) => describeRoute(route)) };
    const [granted, placeholders] = await Promise.all([
      deps.providers.listGranted([scope.sandboxId]),
      deps.providers.listPlaceholders(scope),
    ]);
    return {
      policyRevision: state?.revision.revision ?? 0n,
      routes: routes.map((route) => describeRoute(route, { granted, text: placeholders.get(route.credential) })),
    };
  };
}

function describeRoute(
  { name, host, port, path, models, credential }: InferenceRoute,
  known: { readonly granted: readonly GrantedProvider[]; readonly text: string | undefined } = {
    granted: [],
    text: undefined,
  },
) {
  const endpoint = { host, port: port === 0 ? 443 : port, path: path.replace(/\/$/, "") };
  const provider = known.granted.find(({ provider }) => provider.name === credential)?.provider;
  const authority = port === 0 ? host : `${host}:${port}`;
  return {
    name,
    baseUrl: isPutIn(provider, endpoint) ? baseUrlOf(endpoint) : `https://${authority}${endpoint.path}`,
    models,
    ...(credential === "" ? {} : { credential: { name: credential, text: known.text ?? "" } }),
  };
}

/** Whether the proxy puts the provider's secret into requests to this endpoint. */
function isPutIn(
  provider: GrantedProvider["provider"] | undefined,
  { host, port, path }: { readonly host: string; readonly port: number; readonly path: string },
): boolean {
  const text = parseHostName(host);
  if (provider === undefined || text === undefined) return false;
  const destination = { host: { kind: "name", text }, port } as const;
  return provider.endpoints.some((endpoint) => endpointCovers(endpoint, destination, path === "" ? "/" : path));
}
