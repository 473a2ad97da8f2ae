import { isIPv4, isIPv6 } from "node:net";
import { isAbsolute } from "node:path";
import * as z from "zod";
import { authorityFilePath, certificateFilePath, matchingKey, privateKeyFilePath } from "./certificate-files.ts";
import { absolutePath, readSecretFile, secretFilePath } from "./checked-file.ts";
import { ConfigError } from "./config-error.ts";
import { oidcProviders } from "./oidc-section.ts";

/** `host:port`, `[address]:port` or `unix:/path`. */
export function address() {
  return z.string().refine(isAddress, "must be host:port, [address]:port or unix:/path");
}

function isAddress(text: string): boolean {
  if (text.startsWith("unix:")) return isAbsolute(text.slice("unix:".length)) && text.length <= "unix:".length + 107;
  const match = /^(?:\[([^\]]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  if (match === null) return false;
  return (match[1] === undefined || isIPv6(match[1])) && Number(match[3]) <= 65_535;
}

/** Where another service is: an address, or its replicas' in the order in which they are tried. */
export function serviceAddress() {
  return z
    .union([z.string(), z.array(z.string())])
    .refine(
      (value) => (typeof value === "string" ? isAddress(value) : areReplicas(value)),
      "must be host:port, [address]:port or unix:/path, or a list of IP addresses of one family with their ports",
    );
}

function areReplicas(addresses: readonly string[]): boolean {
  const areSix = addresses[0]?.startsWith("[") === true;
  const isOne = (text: string): boolean =>
    areSix ? text.startsWith("[") : isIPv4(text.slice(0, Math.max(0, text.lastIndexOf(":"))));
  return addresses.length > 0 && addresses.every((text) => isAddress(text) && isOne(text));
}

const listener = (description: string) =>
  z
    .strictObject({
      addresses: z
        .array(address())
        .describe("where it listens: host:port, [address]:port or unix:/path; port 0 is any free one"),
    })
    .describe(description);

const client = (service: string) =>
  z
    .strictObject({
      address: serviceAddress().describe(
        `where ${service}'s mutual TLS listener is; of several replicas a list of IP addresses with ports, tried in this order, or a name that has them all`,
      ),
    })
    .describe(`the way to ${service}`);

/** What kind of installation this is. */
export const mode = z
  .enum(["production", "development"])
  .default("production")
  .describe("development allows the settings that are marked so; production refuses to start with them");

/** The trust domain of every SPIFFE id. */
export const trustDomain = z
  .string()
  .max(255)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, "must be a lower-case domain name")
  .default("sandgate.local")
  .describe("trust domain of every SPIFFE id; never change it on a running installation");

/** Logging. */
export const log = z
  .strictObject({
    level: z
      .enum(["debug", "info", "warn", "error"])
      .default("info")
      .describe("the least severe level that is written"),
  })
  .prefault({})
  .describe("JSON logs on standard output");

/** The admin listener. */
export const admin = z
  .strictObject({
    port: z.int().min(0).max(65_535).describe("loopback port of /livez, /readyz and /metrics; 0 is any free one"),
  })
  .describe("health and metrics, on 127.0.0.1 only");

/** This program's certificate and the authorities that it trusts. */
export const tls = z
  .strictObject({
    certificate_file: certificateFilePath().describe("certificate chain, PEM; read again when it changes"),
    key_file: privateKeyFilePath().describe("private key of the certificate, PEM; closed to other users"),
    service_ca_file: authorityFilePath().describe(
      "authority of service certificates, PEM, or several; read again when it changes",
    ),
    sandbox_ca_file: authorityFilePath().describe(
      "authority of sandbox certificates, PEM, or several; read again when it changes",
    ),
    operator_ca_file: authorityFilePath().describe(
      "authority of operator certificates, PEM, or several; read again when it changes",
    ),
  })
  .check(matchingKey())
  .describe("this program's certificate and the authorities that it trusts");

/** Where the program listens. */
export const listeners = z
  .strictObject({
    edge: listener("server TLS: users, and supervisors that enrol"),
    mtls: listener("mutual TLS: services, enrolled sandboxes and operators with certificates"),
  })
  .describe("where this program listens");

/** Where a service of its own listens, with a way in for the web gateway. */
export const serviceListeners = listeners
  .extend({
    gateway: listener("mutual TLS: the web gateway alone, with what the edge listener has").prefault({ addresses: [] }),
  })
  .describe("where this program listens");

/** The web front: gRPC-Web, Connect and JSON for browsers and curl. */
export const web = z
  .strictObject({
    addresses: z
      .array(address())
      .min(1)
      .describe(
        "where it listens, HTTP/1.1 and HTTP/2: host:port, [address]:port or unix:/path; port 0 is any free one",
      ),
    allowed_origins: z
      .array(origin())
      .default([])
      .describe("origins of the web pages that may call, as in https://console.example; no other page may"),
    tls: z
      .strictObject({
        certificate_file: certificateFilePath().describe("certificate chain, PEM; read again when it changes"),
        key_file: privateKeyFilePath().describe("private key of the certificate, PEM; closed to other users"),
      })
      .check(matchingKey())
      .optional()
      .describe("the certificate that browsers see; default the program's own"),
  })
  .describe(
    "server TLS: browsers, curl and clients of gRPC-Web and Connect; what the edge listener has, by bearer token alone",
  );

/** A web page's origin as browsers spell it (RFC 6454): https, or http on this machine alone, where nobody else can change the page. */
function origin() {
  return z.string().refine(isOrigin, "must be an origin such as https://console.example: scheme and host, no path");
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  if (hostname.includes("*")) return false;
  const isHere = hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
  return origin === text && (protocol === "https:" || (protocol === "http:" && isHere));
}

/** Where PostgreSQL is: a URL in a secret file, or the socket of an embedded server. See `toConnectionSettings`. */
export const database = z
  .strictObject({
    url_file: secretFilePath()
      .optional()
      .describe("file with a postgresql:// URL, closed to other users; or host below"),
    host: z
      .string()
      .min(1)
      .optional()
      .describe("socket directory, or a host whose login needs no password; or url_file above"),
    port: z.int().min(1).max(65_535).default(5432).describe("port; also part of the socket's name"),
    database: z.string().min(1).default("sandgate").describe("database name"),
    user: z.string().min(1).default("sandgate").describe("login"),
  })
  .superRefine((value, context) => {
    if ((value.url_file === undefined) === (value.host === undefined))
      context.addIssue({ code: "custom", message: "needs either url_file or host" });
  })
  .describe("PostgreSQL 15 or newer");

/** The connection that a `database` section describes. Throws ConfigError if the file with the URL cannot be used. */
export function toConnectionSettings(
  section: z.infer<typeof database>,
):
  | { readonly url: string }
  | { readonly host: string; readonly port: number; readonly database: string; readonly user: string } {
  const { url_file, host, port, user } = section;
  if (url_file === undefined) return { host: host ?? "", port, database: section.database, user };
  const url = readSecretFile(url_file).reveal();
  if (!/^postgres(ql)?:\/\/\S+$/.test(url))
    throw new ConfigError([{ path: "database.url_file", message: "does not hold a postgresql:// URL" }]);
  return { url };
}

/** The ways to other services. */
export const clients = {
  auth: client("auth"),
  policy: client("policy"),
  sandbox: client("sandbox"),
} as const;

/** Who else may say who a user is. Configurations that have it use the check `usableOidcProviders` too. */
export const oidc = oidcProviders;

/** The directory through which the sandboxes of this machine reach a service; undefined: there are none on it. */
export const controlDirectory = z
  .strictObject({ control: absolutePath().describe("holds one directory of control sockets for each sandbox") })
  .optional()
  .describe("directories of the sandboxes' sockets; absent where no sandboxes are, as at a further replica");

/** The directories through which sandboxes reach the suite. */
export const directories = z
  .strictObject({
    control: absolutePath().describe("holds one directory of control sockets for each sandbox"),
    egress: absolutePath().describe("holds one directory with an egress socket for each sandbox"),
  })
  .describe("directories of the sandboxes' sockets");
