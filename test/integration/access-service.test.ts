import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { AccessService } from "@sandgate/api/access";
import { createKeyPair } from "@sandgate/pki";
import { type CertificateFiles, loadCertificateAuthority } from "@sandgate/pki/authority";
import { type Channel, createClient, createGrpcChannel, FileCertificateStore, ServiceError } from "@sandgate/rpc";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { envelopeConfig } from "../../services/envelope/src/envelope-config.ts";
import { type RunningEnvelope, startEnvelope } from "../../services/envelope/src/start-envelope.ts";
import { startSuite, type TestSuite, trustDomain, users } from "./suite/start-suite.ts";

let suite: TestSuite;
let envelope: RunningEnvelope;
let directory: string;
let key: CryptoKey;
let viewer: CertificateFiles;
const logs: string[] = [];
const channels: Channel[] = [];
const stores: FileCertificateStore[] = [];

beforeAll(async () => {
  suite = await startSuite("over mutual TLS");
  directory = mkdtempSync(join(tmpdir(), "access-service-"));
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  key = pair.privateKey;
  writeFileSync(join(directory, "key.json"), JSON.stringify({ ...(await exportJWK(pair.publicKey)), kid: "1" }));
  viewer = await issueViewer();
  envelope = await start();
  await vi.waitFor(() => envelope.checks["trust"]?.(), { timeout: 10_000 });
});

afterAll(async () => {
  for (const channel of channels) channel.close();
  for (const store of stores) store.close();
  await envelope?.stop();
  await suite?.stop();
  rmSync(directory, { recursive: true });
});

/** The certificate of a user who may only look. */
async function issueViewer(): Promise<CertificateFiles> {
  const { certificateFile, keyFile } = suite.pki.operatorAuthority;
  const authority = await loadCertificateAuthority({
    certificatePem: readFileSync(certificateFile, "utf8"),
    keyPem: readFileSync(keyFile, "utf8"),
  });
  const { publicKey, privateKey } = createKeyPair();
  const now = Date.now();
  const user = { trustDomain, userId: users.viewer, publicKey, notAfter: now + 3_600_000, now };
  const files = { certificateFile: join(directory, "viewer.pem"), keyFile: join(directory, "viewer.key.pem") };
  writeFileSync(files.certificateFile, (await authority.issueOperatorCertificate(user)).pem);
  writeFileSync(files.keyFile, privateKey.export({ type: "pkcs8", format: "pem" }));
  return files;
}

async function start(over: object = {}): Promise<RunningEnvelope> {
  const { certificateFile, keyFile } = suite.pki.services.envelope;
  const config = envelopeConfig.parse({
    mode: "development",
    admin: { port: 0 },
    instance: `access_${process.pid}_${logs.length}`,
    address: "127.0.0.1:0",
    insecure: true,
    state_directory: join(directory, crypto.randomUUID()),
    machine: "mlab1.lga03",
    service: "ndt",
    guarded: [{ protocol: "tcp", port: 443 }],
    tokens: { issuer: "locate", key_files: [join(directory, "key.json")] },
    development: { no_firewall: true },
    grpc: {
      trust_domain: trustDomain,
      addresses: ["127.0.0.1:0"],
      auth: { address: suite.address("auth", "mtls") },
      tls: {
        certificate_file: certificateFile,
        key_file: keyFile,
        service_ca_file: suite.pki.serviceAuthority.certificateFile,
        sandbox_ca_file: suite.pki.sandboxAuthority.certificateFile,
        operator_ca_file: suite.pki.operatorAuthority.certificateFile,
      },
    },
    ...over,
  });
  const logger = createLogger({
    service: "envelope",
    level: "info",
    destination: { write: (line) => logs.push(line) },
  });
  const monotonic = () => performance.now();
  return await startEnvelope(config, { logger, registry: createMetrics(), clock: Date.now, monotonic });
}

/** AccessService, as who has this certificate; undefined: none. */
function as(who: "operator" | "viewer" | "policy" | "egress-proxy" | undefined, of: RunningEnvelope = envelope) {
  const pair = who === "viewer" ? viewer : who === "operator" ? suite.pki.operator : who && suite.pki.services[who];
  const certificates = new FileCertificateStore({ caFiles: [suite.pki.serviceAuthority.certificateFile], ...pair });
  const [address = ""] = of.grpcAddresses;
  const channel = createGrpcChannel({ address, serverName: `envelope.${trustDomain}`, certificates });
  channels.push(channel);
  stores.push(certificates);
  return createClient(AccessService, channel);
}

async function token(claims: Record<string, unknown> = {}, life = "1 minute"): Promise<string> {
  return await new SignJWT({ jti: crypto.randomUUID(), ...claims })
    .setProtectedHeader({ alg: "EdDSA", kid: "1" })
    .setIssuer("locate")
    .setSubject("ndt")
    .setAudience("mlab1.lga03")
    .setIssuedAt()
    .setExpirationTime(life)
    .sign(key);
}

const reasonOf = (error: unknown) => (error instanceof ServiceError ? error.reason : `not a refusal: ${String(error)}`);
const open = (client: ReturnType<typeof as>, text: string) =>
  client.openEnvelope({ token: text })[Symbol.asyncIterator]();

it("lets the caller's address in for as long as the stream is open", async () => {
  const stop = new AbortController();
  const text = await token();
  const stream = as("operator").openEnvelope({ token: text }, { signal: stop.signal })[Symbol.asyncIterator]();
  const { value } = await stream.next();
  expect(value?.grant).toMatchObject({ addresses: ["127.0.0.1"], issuer: "locate", subject: "ndt" });
  expect(envelope.status().leases).toHaveLength(1);
  stop.abort();
  await stream.next().catch(() => undefined);
  await expect.poll(() => envelope.status().leases).toEqual([]);
  expect(logs.join("")).not.toContain(text);
});

it("ends the stream with OK when the token expires", async () => {
  const stream = open(as("operator"), await token({}, "2 seconds"));
  expect((await stream.next()).done).toBe(false);
  expect((await stream.next()).done).toBe(true);
  expect(envelope.status().leases).toEqual([]);
});

it.each([
  ["that is none", async () => "a.b.c", "ENVELOPE_TOKEN_REJECTED", "token_malformed"],
  [
    "for another client",
    () => token({ client_ips: ["127.0.0.2"] }),
    "ENVELOPE_TOKEN_REJECTED",
    "token_for_another_address",
  ],
  ["that is missing", async () => "", "ENVELOPE_TOKEN_REJECTED", "token_malformed"],
])("refuses a token %s", async (_, make, reason, fault) => {
  const error = await open(as("operator"), await make())
    .next()
    .catch((cause: unknown) => cause);
  expect(reasonOf(error)).toBe(reason);
  expect(error).toMatchObject({ metadata: { fault } });
});

it("EW-18: says when to ask again where there is no room", async () => {
  const small = await start({ lease: { capacity: 1, per_address: 1 } });
  try {
    await vi.waitFor(() => small.checks["trust"]?.(), { timeout: 10_000 });
    const client = as("operator", small);
    const first = open(client, await token());
    await first.next();
    const error = await open(client, await token())
      .next()
      .catch((cause: unknown) => cause);
    expect(reasonOf(error)).toBe("ENVELOPE_FULL");
    expect(error).toMatchObject({ metadata: { fault: "address_quota", retry_after: expect.stringMatching(/^\d+$/) } });
    const ending = first.next().catch(reasonOf);
    await small.stop();
    expect(await ending).toBe("ENVELOPE_UNAVAILABLE");
  } finally {
    await small.stop();
  }
});

it("lists grants of both faces a page at a time, and revokes them, with what their tokens are worth", async () => {
  const client = as("operator");
  const [first, second] = [await token(), await token()];
  const stream = open(client, first);
  await stream.next();
  const socket = await askByHttp(second);
  const { grants, nextPageToken } = await client.listGrants({ pageSize: 1 });
  const rest = await client.listGrants({ pageSize: 1, pageToken: nextPageToken });
  expect([grants.length, rest.grants.length, rest.nextPageToken]).toEqual([1, 1, ""]);
  const ended = stream.next().catch(reasonOf);
  const closed = new Promise((resolve) => socket.once("close", resolve).resume());
  for (const { grantId } of [...grants, ...rest.grants]) await client.revokeGrant({ grantId });
  expect(envelope.status().leases).toEqual([]);
  expect(await ended).toBe("GRANT_REVOKED");
  await closed;
  for (const text of [first, second]) {
    const error = await open(client, text)
      .next()
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ reason: "ENVELOPE_TOKEN_REJECTED", metadata: { fault: "token_replayed" } });
  }
  expect(await client.revokeGrant({ grantId: grants[0]?.grantId ?? "" }).catch(reasonOf)).toBe("GRANT_NOT_FOUND");
  expect(await client.listGrants({ pageToken: "1; drop" }).catch(reasonOf)).toBe("REQUEST_INVALID");
  expect(await client.listGrants({ pageSize: -1 }).catch(reasonOf)).toBe("REQUEST_INVALID");
});

function askByHttp(text: string): Promise<Duplex> {
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    authorization: `Bearer ${text}`,
  };
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port: envelope.port, path: "/v0/envelope/access", headers, agent: false })
      .on("upgrade", (_, socket) => resolve(socket.on("error", () => socket.destroy())))
      .on("response", ({ statusCode }) => reject(new Error(`refused with ${statusCode}`)))
      .on("error", reject)
      .end();
  });
}

it.each([
  ["policy", "PEER_NOT_ALLOWED", "PEER_NOT_ALLOWED", "PEER_NOT_ALLOWED"],
  ["egress-proxy", "PEER_NOT_ALLOWED", "PEER_NOT_ALLOWED", "PEER_NOT_ALLOWED"],
  [undefined, "UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"], // the handshake fails
  ["viewer", "OK", "OK", "ROLE_TOO_LOW"],
  ["operator", "OK", "OK", "GRANT_NOT_FOUND"],
] as const)(
  "G-24: with the certificate of %s: OpenEnvelope %s, ListGrants %s, RevokeGrant %s",
  async (who, ...expected) => {
    const client = as(who);
    const text = await token();
    const stream = open(client, text);
    const outcomes = [
      await stream.next().then(() => "OK", reasonOf),
      await client.listGrants({}).then(() => "OK", reasonOf),
      await client.revokeGrant({ grantId: "a" }).then(() => "OK", reasonOf),
    ];
    expect(outcomes).toEqual(expected);
    await stream.return?.();
    await expect.poll(() => envelope.status().leases).toEqual([]);
  },
);
