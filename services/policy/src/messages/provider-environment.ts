import type { Provider } from "@sandgate/api/policy";

/** What a workload is told of a provider. */
interface NamedProvider {
  readonly provider: Pick<Provider, "environment" | "baseUrlEnvironment" | "endpoints">;
  readonly placeholder: string;
}

/** The environment variables of a sandbox's providers. Of two with one variable the first counts. */
export function providerEnvironment(granted: readonly NamedProvider[]): Record<string, string> {
  const variables = granted.flatMap(({ provider, placeholder }) => {
    const [endpoint] = provider.endpoints;
    return [
      [provider.environment, placeholder] as const,
      ...(endpoint === undefined ? [] : [[provider.baseUrlEnvironment, baseUrlOf(endpoint)] as const]),
    ];
  });
  return Object.fromEntries(variables.filter(([name]) => name !== "").reverse());
}

/**
 * Where a workload reaches an endpoint: by plain HTTP, since the proxy can put the secret only into what it can read. Its port is the
 * origin's, which policy decides on; the proxy speaks TLS to it.
 */
export function baseUrlOf(endpoint: { readonly host: string; readonly port: number; readonly path: string }): string {
  const authority = endpoint.port === 80 ? endpoint.host : `${endpoint.host}:${endpoint.port}`;
  return `http://${authority}${endpoint.path === "/" ? "" : endpoint.path}`;
}
