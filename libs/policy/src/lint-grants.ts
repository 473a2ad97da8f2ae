import { HostFault, parseAuthoredHost } from "./authored-host.ts";
import { compilePolicy } from "./compile.ts";
import { decide } from "./decide.ts";
import { isName } from "./name.ts";
import type { IdentityMessage, PolicyMessage, ReadonlyPolicy, RouteMessage } from "./policy-message.ts";
import { parseWireHost } from "./wire-host.ts";

type Fault = (field: string, message: string) => void;

const maximumAudiences = 20;
const maximumRoutes = 50;
const maximumModels = 100;
const maximumProviders = 50;

/** Whether a token for this audience could be meant for Sandgate itself: none is ever minted. */
function isReservedAudience(audience: string): boolean {
  const lower = audience.toLowerCase();
  return (
    ["sandgate", "egress-proxy", "sandbox-api"].includes(lower) ||
    ["sandgate/", "enclave:"].some((prefix) => lower.startsWith(prefix))
  );
}

/** Checks to whom a workload may prove who it is; undefined where it is to nobody. */
export function lintIdentity(
  identity: NonNullable<ReadonlyPolicy["identity"]>,
  fault: Fault,
): IdentityMessage | undefined {
  if (identity.audiences.length > maximumAudiences)
    fault("identity.audiences", `a policy grants at most ${maximumAudiences} audiences`);
  for (const [index, audience] of identity.audiences.slice(0, maximumAudiences).entries()) {
    const field = `identity.audiences[${index}]`;
    if (!/^[A-Za-z0-9/][A-Za-z0-9._~:/?#@!$&+,;=%-]{0,254}$/.test(audience))
      fault(field, "an audience is exact: 1 to 255 characters of a URI, without spaces, quotes and wildcards");
    else if (isReservedAudience(audience)) fault(field, "tokens for Sandgate itself are not given to workloads");
  }
  return identity.audiences.length === 0 ? undefined : { audiences: [...new Set(identity.audiences)] };
}

/** Checks the names of the providers that a workload may use; undefined where there are none. */
export function lintProviderNames(providers: readonly string[], fault: Fault): string[] | undefined {
  if (providers.length > maximumProviders) fault("providers", `a policy names at most ${maximumProviders} providers`);
  for (const [index, name] of providers.slice(0, maximumProviders).entries())
    if (!isName(name))
      fault(`providers[${index}]`, "a provider is named by 1 to 63 lower-case letters, digits and dashes");
  return providers.length === 0 ? undefined : [...new Set(providers)];
}

/** Checks the models that a workload is told of, against rules in canonical form; undefined where there are none. */
export function lintInference(
  inference: NonNullable<ReadonlyPolicy["inference"]>,
  rules: PolicyMessage["rules"] | undefined,
  fault: Fault,
): PolicyMessage["inference"] {
  if (inference.routes.length > maximumRoutes)
    fault("inference.routes", `a policy has at most ${maximumRoutes} model routes`);
  const names = new Set<string>();
  const allows = rules === undefined ? undefined : allowedBy(rules);
  const routes = inference.routes.slice(0, maximumRoutes).map((route, index) => {
    const at: Fault = (field, message) => fault(`inference.routes[${index}].${field}`, message);
    if (!isName(route.name)) at("name", "a name is 1 to 63 lower-case letters, digits and dashes");
    else if (names.has(route.name)) at("name", "another route has this name");
    names.add(route.name);
    return lintRoute(route, allows, at);
  });
  return routes.length === 0 ? undefined : { routes };
}

function lintRoute(
  route: NonNullable<ReadonlyPolicy["inference"]>["routes"][number],
  allows: ((host: string, port: number) => boolean) | undefined,
  fault: Fault,
): RouteMessage {
  const host = lintHost(route.host, fault);
  const isPort = Number.isInteger(route.port) && route.port >= 0 && route.port <= 65_535;
  if (!isPort) fault("port", "a port is a whole number from 1 to 65535");
  if (!/^(?:(?:\/[A-Za-z0-9._~-]+)*\/?)$/.test(route.path) || route.path.length > 200 || hasDots(route.path))
    fault("path", "a path is made of plain segments, as in /v1");
  if (route.models.length === 0 || route.models.length > maximumModels)
    fault("models", `a route names 1 to ${maximumModels} models`);
  for (const [index, model] of route.models.slice(0, maximumModels).entries())
    if (!/^(?:[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\*?|\*)$/.test(model))
      fault(`models[${index}]`, "a model is a name of letters, digits and ._:/@-, with at most one * at its end");
  if (route.credential !== "" && !isName(route.credential))
    fault("credential", "a credential is named by 1 to 63 lower-case letters, digits and dashes");
  if (host !== undefined && isPort && allows !== undefined && !allows(host, route.port === 0 ? 443 : route.port))
    fault("host", "no rule allows this host on this port");
  return {
    name: route.name,
    host: host ?? route.host,
    port: route.port === 443 ? 0 : route.port,
    path: route.path,
    models: [...new Set(route.models)],
    credential: route.credential,
  };
}

function lintHost(text: string, fault: Fault): string | undefined {
  try {
    const host = parseAuthoredHost(text);
    if (!host.startsWith("*.")) return host;
    fault("host", "a route leads to one host, without a wildcard");
  } catch (error) {
    if (!(error instanceof HostFault)) throw error;
    fault("host", error.message);
  }
  return undefined;
}

function hasDots(path: string): boolean {
  return path.split("/").some((segment) => segment === "." || segment === "..");
}

function allowedBy(rules: PolicyMessage["rules"]): (host: string, port: number) => boolean {
  const compiled = compilePolicy({ rules });
  return (name, port) => {
    const host = parseWireHost(name);
    return host !== undefined && decide(compiled, { host, port }, 0).verdict === "allow";
  };
}
