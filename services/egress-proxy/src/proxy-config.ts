import { developmentOnly, filePath, sections } from "@sandgate/config";
import { parseAddress, parseHostName } from "@sandgate/policy";
import * as z from "zod";
import { defaultLimits, type Limits } from "./limits.ts";

const port = () => z.int().min(1).max(65_535);
const milliseconds = (longest: number) => z.int().min(1).max(longest);

const limits = z
  .strictObject({
    head_bytes: z.int().min(1024).max(65_536).default(defaultLimits.headBytes).describe("size of a request's head"),
    head_fields: z.int().min(8).max(2000).default(defaultLimits.headFields).describe("fields in a request's head"),
    head_timeout_ms: milliseconds(120_000)
      .default(defaultLimits.headTimeoutMs)
      .describe("from the first byte of a request's head to the last"),
    keep_alive_timeout_ms: milliseconds(600_000)
      .default(defaultLimits.keepAliveTimeoutMs)
      .describe("between two requests on one connection"),
    first_bytes_timeout_ms: milliseconds(120_000)
      .default(defaultLimits.firstBytesTimeoutMs)
      .describe("from the answer to CONNECT to a whole ClientHello or request"),
    resolve_timeout_ms: milliseconds(60_000).default(defaultLimits.resolveTimeoutMs).describe("for resolving a name"),
    dial_timeout_ms: milliseconds(120_000)
      .default(defaultLimits.dialTimeoutMs)
      .describe("for reaching a destination, all of its addresses together"),
    idle_timeout_ms: milliseconds(86_400_000)
      .default(defaultLimits.idleTimeoutMs)
      .describe("without a byte in either direction"),
    connections_per_sandbox: z
      .int()
      .min(1)
      .max(100_000)
      .default(defaultLimits.connectionsPerSandbox)
      .describe("connections that one sandbox may have open"),
    policy_grace_ms: z
      .int()
      .min(3_000)
      .max(600_000)
      .default(defaultLimits.policyGraceMs)
      .describe(
        "how long the known policies count when the Policy service is not heard; then nothing is allowed, and what is open is cut",
      ),
    failed_tokens_per_second: z
      .int()
      .min(1)
      .max(10_000)
      .default(defaultLimits.failedTokensPerSecond)
      .describe("tokens of one sandbox that may fail to verify within a second"),
  })
  .prefault({})
  .describe("what one sandbox may take, and how long the proxy waits");

const origin = z.strictObject({
  host: z
    .string()
    .refine((text) => parseHostName(text) === text, "must be a lower-case host name")
    .describe("name that a sandbox asks for; its policy still decides"),
  port: port().describe("port that a sandbox asks for"),
  address: z
    .string()
    .refine((text) => parseAddress(text) !== undefined, "must be an IP address")
    .describe("where it is dialled instead; loopback is allowed"),
  target_port: port().describe("port that is dialled"),
});

const user = z
  .strictObject({
    uid: z.int().min(1).max(0xffff_fffe).describe("user to become when started as root"),
    gid: z.int().min(1).max(0xffff_fffe).describe("group to become when started as root"),
  })
  .optional()
  .describe(
    "whom the proxy becomes before it reads anything else, when started as root; its files must be readable to it",
  );

/** The part of the configuration file that is read while the process may still be root's. */
export const proxyUser = z.looseObject({ user });

/** The configuration of the egress proxy. */
export const proxyConfig = z.strictObject({
  mode: sections.mode,
  trust_domain: sections.trustDomain,
  log: sections.log,
  admin: sections.admin,
  tls: sections.tls,
  clients: z.strictObject({ auth: sections.clients.auth, policy: sections.clients.policy }).describe("other services"),
  directories: z
    .strictObject({ egress: sections.directories.shape.egress })
    .describe("directories of the sandboxes' sockets"),
  dns: z
    .strictObject({
      servers: z
        .array(z.string().refine(isDnsServer, "must be an address, with a port or without"))
        .default([])
        .describe("address, address:port or [address]:port; empty means the machine's"),
    })
    .prefault({})
    .describe("where names are resolved"),
  origin_ca_file: filePath()
    .optional()
    .describe(
      "further authorities of the origins that the proxy itself speaks TLS to, which are those of providers, in PEM",
    ),
  user,
  limits,
  development: developmentOnly(
    z.strictObject({
      origins: z.array(origin).default([]).describe("names that are dialled at given addresses"),
    }),
  ).describe("refused in production"),
});

/** A checked configuration of the egress proxy. */
export type ProxyConfig = z.output<typeof proxyConfig>;

/** The limits that the configuration sets. */
export function toLimits(section: ProxyConfig["limits"]): Limits {
  return {
    headBytes: section.head_bytes,
    headFields: section.head_fields,
    headTimeoutMs: section.head_timeout_ms,
    keepAliveTimeoutMs: section.keep_alive_timeout_ms,
    firstBytesTimeoutMs: section.first_bytes_timeout_ms,
    resolveTimeoutMs: section.resolve_timeout_ms,
    dialTimeoutMs: section.dial_timeout_ms,
    idleTimeoutMs: section.idle_timeout_ms,
    connectionsPerSandbox: section.connections_per_sandbox,
    policyGraceMs: section.policy_grace_ms,
    failedTokensPerSecond: section.failed_tokens_per_second,
  };
}

function isDnsServer(text: string): boolean {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([0-9.]+))(?::[1-9][0-9]{0,4})?$/.exec(text) ?? [];
  return parseAddress(bracketed ?? plain ?? text) !== undefined;
}
