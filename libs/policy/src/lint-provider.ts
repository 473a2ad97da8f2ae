import { HostFault, parseAuthoredHost } from "./authored-host.ts";
import { isName } from "./name.ts";
import type { PolicyFault } from "./policy-message.ts";
import { type EndpointMessage, type ProviderMessage, providerKind } from "./provider-message.ts";

/** A provider in its canonical form, or everything that is wrong with it. */
export type ProviderCheck =
  | { readonly ok: true; readonly provider: ProviderMessage }
  | { readonly ok: false; readonly faults: readonly Omit<PolicyFault, "rule">[] };

type Fault = (field: string, message: string) => void;
type ReadonlyProvider = Readonly<Omit<ProviderMessage, "endpoints">> & {
  readonly endpoints: readonly Readonly<EndpointMessage>[];
};

const maximumEndpoints = 20;
const kinds: ReadonlySet<number> = new Set(Object.values(providerKind));

/** Headers that say where a request goes, how it is framed, or what the suite itself writes. */
const reservedHeaders: ReadonlySet<string> = new Set(
  (
    "authorization connection content-length content-type cookie date expect forwarded host http2-settings keep-alive max-forwards " +
    "te trailer transfer-encoding upgrade via"
  ).split(" "),
);
const reservedPrefixes = [
  "proxy-",
  "x-jwt-",
  "x-deny-",
  "x-container-",
  "x-sandgate-",
  "x-proxy-error",
  "x-forwarded-",
];

/** Variables by which a process is run, and those that every workload has. */
const reservedVariables =
  /^(?:PATH|HOME|USER|LOGNAME|LANG|SHELL|IFS|SANDBOX_ID|(?:LD|DYLD|NODE|SANDGATE)_.*|.*_PROXY)$/i;

/** Whether a text can be sent as a secret in a header: 8 to 4096 printable ASCII characters, no space at either end. */
export function isProviderSecret(text: string): boolean {
  return /^[\x21-\x7e](?:[\x20-\x7e]{6,4094}[\x21-\x7e])?$/.test(text);
}

/**
 * Checks a provider's settings and brings hosts, ports and paths into their canonical form. Reports every fault at once. Refuses
 * wildcards and addresses, headers that are not the workload's to fill, and variables that every process already has.
 */
export function lintProvider(provider: ReadonlyProvider): ProviderCheck {
  const faults: Omit<PolicyFault, "rule">[] = [];
  const fault: Fault = (field, message) => faults.push({ field, message });
  if (!isName(provider.name))
    fault("name", "a name is 1 to 63 lower-case letters, digits and dashes, and begins with no dash");
  lintKind(provider, fault);
  if (provider.endpoints.length === 0 || provider.endpoints.length > maximumEndpoints)
    fault("endpoints", `a provider has 1 to ${maximumEndpoints} endpoints`);
  const endpoints = provider.endpoints
    .slice(0, maximumEndpoints)
    .map((endpoint, index) =>
      lintEndpoint(endpoint, (field, message) => fault(`endpoints[${index}].${field}`, message)),
    );
  for (const [field, name] of [
    ["environment", provider.environment],
    ["base_url_environment", provider.baseUrlEnvironment],
  ] as const)
    if (name !== "" && (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name) || reservedVariables.test(name)))
      fault(field, "a variable is 1 to 64 letters, digits and underscores, and none that every process has");
  if (provider.environment !== "" && provider.environment === provider.baseUrlEnvironment)
    fault("base_url_environment", "this variable is the placeholder's");
  const { name, kind, header, username, environment, baseUrlEnvironment } = provider;
  return faults.length > 0
    ? { ok: false, faults }
    : { ok: true, provider: { name, kind, header, username, endpoints, environment, baseUrlEnvironment } };
}

function lintKind({ kind, header, username }: ReadonlyProvider, fault: Fault): void {
  if (!kinds.has(kind)) fault("kind", "a kind is bearer, header or basic");
  if (kind !== providerKind.header) {
    if (header !== "") fault("header", "only the kind header has a header of its own");
  } else if (
    !/^[a-z0-9][a-z0-9_-]{0,63}$/.test(header) ||
    reservedHeaders.has(header) ||
    reservedPrefixes.some((prefix) => header.startsWith(prefix))
  )
    fault("header", "this is a lower-case header name, and none that has a meaning of its own on the way");
  if (kind !== providerKind.basic) {
    if (username !== "") fault("username", "only the kind basic has a user name");
  } else if (!/^[\x20-\x39\x3b-\x7e]{0,255}$/.test(username))
    fault("username", "a user name is at most 255 printable ASCII characters without a colon");
}

function lintEndpoint(endpoint: Readonly<EndpointMessage>, fault: Fault): EndpointMessage {
  const { cleartext } = endpoint;
  const port = endpoint.port === 0 ? (cleartext ? 80 : 443) : endpoint.port;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) fault("port", "a port is a whole number from 1 to 65535");
  if (cleartext && port === 443) fault("cleartext", "port 443 speaks TLS");
  const path = endpoint.path.replace(/\/$/, "");
  if (!/^(?:\/[A-Za-z0-9._~-]+)*$/.test(path) || path.length > 200 || /\/\.{1,2}(?:\/|$)/.test(path))
    fault("path", "a path is made of plain segments, as in /v1");
  return { host: lintHost(endpoint.host, fault), port, path: path === "" ? "/" : path, cleartext };
}

function lintHost(text: string, fault: Fault): string {
  try {
    const host = parseAuthoredHost(text);
    if (!host.startsWith("*.")) return host;
    fault("host", "a secret is sent to one host, without a wildcard");
  } catch (error) {
    if (!(error instanceof HostFault)) throw error;
    fault("host", error.message);
  }
  return text;
}
