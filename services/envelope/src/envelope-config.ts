import {
  absolutePath,
  authorityFilePath,
  certificateFilePath,
  developmentOnly,
  filePath,
  matchingKey,
  privateKeyFilePath,
  sections,
} from "@sandgate/config";
import { parseKeySetUrl } from "@sandgate/identity/remote-keys";
import * as z from "zod";
import { tokenAlgorithms } from "./tokens/open-verify-keys.ts";

const issuer = {
  issuer: z.string().min(1).describe("the tokens' `iss`"),
  algorithms: z
    .array(z.enum(tokenAlgorithms))
    .min(1)
    .default(["EdDSA"])
    .describe("signatures that are accepted; no other, whatever a token says"),
  key_files: z
    .array(filePath())
    .default([])
    .describe("files with a public JWK or a JWK set each; or key_set_url below"),
  key_set_url: z
    .string()
    .refine(isKeySetUrl, "must be an https URL, or an http URL of this machine")
    .optional()
    .describe("where the JWK set is, read every 5 minutes; or key_files above"),
  key_set_ca_file: authorityFilePath()
    .optional()
    .describe("authority of that server's certificate, PEM; default the machine's own"),
};

function isKeySetUrl(text: string): boolean {
  try {
    parseKeySetUrl(text);
    return true;
  } catch {
    return false;
  }
}

function oneKeySource(
  value: { readonly key_files: readonly string[]; readonly key_set_url?: string | undefined },
  context: z.RefinementCtx,
): void {
  if ((value.key_files.length === 0) === (value.key_set_url === undefined))
    context.addIssue({ code: "custom", message: "needs either key_files or key_set_url" });
}

function deviceName() {
  return z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/, "must be the name of a network device");
}

/** Configuration of the access envelope. */
export const envelopeConfig = z
  .strictObject({
    mode: sections.mode,
    log: sections.log,
    admin: sections.admin,
    instance: z
      .string()
      .regex(/^[a-z0-9_]{1,32}$/, "must be 1 to 32 of a-z, 0-9 and _")
      .default("default")
      .describe(
        "its name among the envelopes of this host; part of its firewall table's: sandgate_envelope_<instance>",
      ),
    address: sections
      .address()
      .refine((text) => !text.startsWith("unix:"), "must be host:port or [address]:port")
      .describe("where clients ask: host:port or [address]:port; port 0 is any free one"),
    ipv6_only: z.boolean().default(false).describe("an address of IPv6 takes no IPv4"),
    tls: z
      .strictObject({
        certificate_file: certificateFilePath().describe("certificate chain, PEM; read again when it changes"),
        key_file: privateKeyFilePath().describe("private key of the certificate, PEM; closed to other users"),
      })
      .check(matchingKey())
      .optional()
      .describe("the certificate that clients see; or insecure below"),
    insecure: z
      .literal(true)
      .optional()
      .describe("plain HTTP: who is on the way can read tokens and use them; instead of tls above"),
    state_directory: absolutePath().describe("where it keeps which tokens were used"),
    machine: z.string().min(1).describe("the tokens' `aud`: the name of this machine"),
    service: z
      .string()
      .min(1)
      .optional()
      .describe("the tokens' `sub`: the name of the service behind the guarded ports"),
    subject_mode: z
      .enum(["service", "client-ip", "both"])
      .default("service")
      .describe(
        "what the tokens' `sub` is: the service; the client's address; or the service, with the client's address in the claim `client_ip`",
      ),
    guarded: z
      .array(
        z.strictObject({
          protocol: z.enum(["tcp", "udp"]).describe("its protocol"),
          port: z.int().min(1).max(65_535).describe("its number"),
        }),
      )
      .default([])
      .describe("the ports that only leases open, one at least; all others are left as they are"),
    tokens: z
      .strictObject({
        ...issuer,
        query: z
          .boolean()
          .default(false)
          .describe("accept a token as `access_token` in the URL, where logs and histories see it"),
      })
      .superRefine(oneKeySource)
      .optional()
      .describe("whose tokens let clients in; required, but where compatible.token_required is false"),
    monitoring: z
      .strictObject(issuer)
      .superRefine(oneKeySource)
      .optional()
      .describe("whose tokens let the monitor in: `sub` is `monitoring`"),
    lease: z
      .strictObject({
        max_seconds: z
          .int()
          .min(1)
          .max(86_400)
          .default(600)
          .describe("no lease is longer, however long its token lasts"),
        capacity: z.int().min(1).max(100_000).default(100).describe("addresses that may be in at once"),
        per_subject: z
          .int()
          .min(1)
          .optional()
          .describe("leases that one subject of one issuer may have at once; default as many as there are"),
        reserved: z
          .int()
          .min(0)
          .default(0)
          .describe("places of capacity that only subjects without a lease may take, so that nobody takes all"),
        per_address: z.int().min(1).default(100).describe("leases that one address may have at once"),
      })
      .prefault({})
      .describe("how long, and how many"),
    allowed_origins: sections.web.shape.allowed_origins.describe(
      "origins of the web pages that may ask, as in https://console.example; no other page may",
    ),
    failures_per_minute: z
      .int()
      .min(1)
      .max(100_000)
      .default(60)
      .describe(
        "tokens that are none that one address, or one /64 of IPv6, may bring; then it is not heard for a while",
      ),
    transmit: z
      .strictObject({
        device: deviceName().describe("the network device whose transmitted bytes are counted"),
        max_bits_per_second: z.int().min(1).describe("nobody but the monitor is let in while it transmits more"),
      })
      .optional()
      .describe("a limit on what is transmitted; default none"),
    grpc: z
      .strictObject({
        trust_domain: sections.trustDomain,
        tls: sections.tls,
        addresses: z
          .array(sections.address())
          .min(1)
          .describe("where AccessService is, mutual TLS: host:port or [address]:port; port 0 is any free one"),
        auth: sections.clients.auth,
      })
      .optional()
      .describe("AccessService beside the HTTP face, for users with certificates; default none"),
    strict_websocket_key: z
      .boolean()
      .default(false)
      .describe("refuse handshakes whose key is not of 16 bytes, as RFC 6455 has it"),
    compatible: z
      .strictObject({
        timeout_seconds: z.int().min(1).max(86_400).default(60).describe("no lease is shorter"),
        token_required: z
          .boolean()
          .default(true)
          .describe("false: who brings no token is let in too, nothing is guarded, and there is no limit"),
        monitoring_subject: z
          .boolean()
          .default(false)
          .describe("the subject `monitoring` of the clients' issuer counts for every service, and is the monitor's"),
        single_use: z
          .boolean()
          .default(false)
          .describe("a token with a `jti` counts once, as outside of this mode, and not until it expires"),
        allow_path: z
          .boolean()
          .default(false)
          .describe("serve /v0/allow of the first release too: `sub` is the client's address, and a POST is held"),
      })
      .optional()
      .describe(
        "be as M-Lab's envelope: tokens in the URL and without `iat` and `jti`, leases as long as their tokens, any web page",
      ),
    firewall: z
      .strictObject({
        backend: z
          .enum(["nftables", "iptables"])
          .default("nftables")
          .describe("who guards: nftables, or, on hosts without nft, iptables with ipset"),
        nft_file: z.string().startsWith("/").default("/usr/sbin/nft").describe("the program nft"),
        iptables_file: z
          .string()
          .startsWith("/")
          .default("/usr/sbin/iptables")
          .describe("the program iptables; iptables-restore is beside it"),
        ip6tables_file: z
          .string()
          .startsWith("/")
          .default("/usr/sbin/ip6tables")
          .describe("the program ip6tables; ip6tables-restore is beside it"),
        ipset_file: z.string().startsWith("/").default("/usr/sbin/ipset").describe("the program ipset"),
        device: deviceName()
          .optional()
          .describe("guard what comes in by this network device alone; default by every one but loopback"),
      })
      .prefault({})
      .describe("the firewall of this host"),
    development: developmentOnly(
      z
        .strictObject({ no_firewall: z.literal(true).describe("guard nothing: everybody reaches the ports") })
        .describe("only for tests"),
    ),
  })
  .superRefine((config, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if ((config.tls === undefined) === (config.insecure === undefined))
      fault("tls", "needs either tls or insecure: true");
    if (config.service === undefined && config.subject_mode !== "client-ip")
      fault("service", `is required with subject_mode ${config.subject_mode}`);
    if (config.lease.reserved >= config.lease.capacity) fault("lease.reserved", "must be less than lease.capacity");
    const own = Number(config.address.slice(config.address.lastIndexOf(":") + 1));
    if (config.guarded.some(({ protocol, port }) => protocol === "tcp" && port === own))
      fault("guarded", "holds the port of address: nobody could ask");
    const { token_required: tokenRequired = true } = config.compatible ?? {};
    if (tokenRequired && config.guarded.length === 0) fault("guarded", "must name a port at least");
    if (config.tokens === undefined && tokenRequired) fault("tokens", "is required");
    if (config.monitoring !== undefined && config.monitoring.issuer === config.tokens?.issuer)
      fault(
        "monitoring",
        "must have another issuer than tokens: who signs for clients must not make himself the monitor",
      );
  });
