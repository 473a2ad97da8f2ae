import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { request as requestSecurely } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { connect as connectSecurely } from "node:tls";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { envelopeConfig } from "./envelope-config.ts";
import { type RunningEnvelope, startEnvelope } from "./start-envelope.ts";

let directory: string;
const keys: Record<string, CryptoKey> = {};
const logs: string[] = [];
const envelopes = new Set<RunningEnvelope>();
const granted = new Set<Duplex>();
let instances = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "envelope-"));
  for (const [kid, algorithm] of [
    ["ed", "EdDSA"],
    ["es", "ES256"],
    ["monitor", "EdDSA"],
    ["foreign", "EdDSA"],
  ] as const) {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    keys[kid] = pair.privateKey;
    writeFileSync(join(directory, `${kid}.json`), JSON.stringify({ ...(await exportJWK(pair.publicKey)), kid }));
  }
  writeFileSync(join(directory, "private.json"), JSON.stringify({ ...(await exportJWK(keyOf("ed"))), kid: "ed" }));
});
afterEach(async () => {
  for (const socket of granted) socket.destroy();
  granted.clear();
  for (const envelope of envelopes) await envelope.stop();
  envelopes.clear();
});
afterAll(() => rmSync(directory, { recursive: true }));

function keyOf(kid: string): CryptoKey {
  const key = keys[kid];
  if (key === undefined) throw new Error("no such key");
  return key;
}

const keyFile = (kid: string) => join(directory, `${kid}.json`);

async function start(over: object = {}) {
  instances += 1;
  const config = envelopeConfig.parse({
    mode: "development",
    admin: { port: 0 },
    instance: `unit_${process.pid}_${instances}`,
    address: "127.0.0.1:0",
    insecure: true,
    state_directory: join(directory, `state-${instances}`),
    machine: "mlab1.lga03",
    service: "ndt",
    guarded: [{ protocol: "tcp", port: 443 }],
    tokens: { issuer: "locate", key_files: [keyFile("ed")] },
    monitoring: { issuer: "monitor", key_files: [keyFile("monitor")] },
    development: { no_firewall: true },
    ...over,
  });
  const registry = createMetrics();
  const logger = createLogger({
    service: "envelope",
    level: "info",
    destination: { write: (line) => logs.push(line) },
  });
  const envelope = await startEnvelope(config, {
    logger,
    registry,
    clock: Date.now,
    monotonic: () => performance.now(),
  });
  envelopes.add(envelope);
  return { ...envelope, registry };
}

interface TokenParts {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly key?: string;
}

const second = () => Math.floor(Date.now() / 1000);
const future = second() + 3_600;

async function token({ claims = {}, header = {}, key = "ed" }: TokenParts = {}): Promise<string> {
  const times = { iat: second(), exp: second() + 60 };
  const payload = {
    iss: "locate",
    sub: "ndt",
    aud: ["mlab1.lga03", "other"],
    jti: crypto.randomUUID(),
    ...times,
    ...claims,
  };
  return await new SignJWT(JSON.parse(JSON.stringify(payload))) // what is undefined is absent
    .setProtectedHeader({ alg: "EdDSA", kid: "ed", ...header })
    .sign(keyOf(key));
}

const handshake = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** When a granted connection has ended. */
  readonly ended: Promise<unknown>;
}

function ask(
  { port }: { readonly port: number },
  options: {
    headers?: Record<string, string>;
    path?: string;
    method?: string;
    ca?: string;
    servername?: string;
    body?: string;
    localAddress?: string;
  } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = options.ca === undefined ? request : requestSecurely;
    const sent = send({
      ca: options.ca,
      servername: options.servername ?? "auth.sandgate.test",
      host: "127.0.0.1",
      port,
      path: options.path ?? "/v0/envelope/access",
      method: options.method ?? "GET",
      headers: options.headers ?? {},
      localAddress: options.localAddress,
      agent: false,
    });
    const settle = (response: IncomingMessage, body: string, ended: Promise<unknown> = Promise.resolve()) =>
      resolve({ status: response.statusCode, headers: response.headers, body, ended });
    sent.on("upgrade", (response, socket) => {
      granted.add(socket.on("error", () => socket.destroy()));
      settle(response, "", new Promise((resolveEnd) => socket.once("close", resolveEnd).resume()));
    });
    sent.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () => settle(response, body.trim()));
    });
    sent.on("error", reject);
    sent.end(options.body);
  });
}

const bearer = (text: string) => ({ ...handshake, authorization: `Bearer ${text}` });

describe("a good request", () => {
  it("E-01, E-12, E-13: is answered with 101, and with the subprotocol if it was offered", async () => {
    const envelope = await start();
    const plain = await ask(envelope, { headers: bearer(await token()) });
    expect(plain).toMatchObject({ status: 101 });
    expect(plain.headers["sec-websocket-protocol"]).toBeUndefined();
    const headers = { ...bearer(await token()), "sec-websocket-protocol": "net.measurementlab.envelope" };
    expect((await ask(envelope, { headers })).headers["sec-websocket-protocol"]).toBe("net.measurementlab.envelope");
  });

  it.each([
    ["E-21: one audience", { claims: { aud: "mlab1.lga03" } }],
    ["E-25: another pinned algorithm", { key: "es", header: { alg: "ES256", kid: "es" } }],
    [
      "EW-16: the monitor",
      { key: "monitor", header: { kid: "monitor" }, claims: { iss: "monitor", sub: "monitoring" } },
    ],
  ])("may have %s", async (_, parts) => {
    const envelope = await start({
      tokens: { issuer: "locate", algorithms: ["EdDSA", "ES256"], key_files: [keyFile("ed"), keyFile("es")] },
    });
    expect((await ask(envelope, { headers: bearer(await token(parts)) })).status).toBe(101);
  });

  it("EW-11: may bring its token as a subprotocol", async () => {
    const headers = {
      ...handshake,
      "sec-websocket-protocol": `net.measurementlab.envelope, sandgate.bearer.${await token()}`,
    };
    expect((await ask(await start(), { headers })).status).toBe(101);
  });
});

describe("the program", () => {
  it("EW-15: speaks TLS with its certificate", async () => {
    const pki = await createDevelopmentPki({
      directory: join(directory, "pki"),
      trustDomain: "sandgate.test",
      operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
    });
    const { certificateFile, keyFile: key_file } = pki.services.auth;
    const envelope = await start({ insecure: undefined, tls: { certificate_file: certificateFile, key_file } });
    const ca = readFileSync(pki.serviceAuthority.certificateFile, "utf8");
    expect((await ask(envelope, { headers: bearer(await token()), ca })).status).toBe(101);
    await expect(ask(envelope, { headers: bearer(await token()) })).rejects.toThrow();
  });

  it("E-09: speaks no HTTP/2, and follows its certificate's files", async () => {
    const pki = await createDevelopmentPki({
      directory: join(directory, "pki-following"),
      trustDomain: "sandgate.test",
      operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
    });
    const files = { certificate_file: join(directory, "followed.pem"), key_file: join(directory, "followed.key") };
    const put = ({ certificateFile, keyFile: from }: { certificateFile: string; keyFile: string }) => {
      copyFileSync(certificateFile, files.certificate_file);
      copyFileSync(from, files.key_file);
    };
    put(pki.services.auth);
    const envelope = await start({ insecure: undefined, tls: files });
    const ca = readFileSync(pki.serviceAuthority.certificateFile, "utf8");
    const offer = { host: "127.0.0.1", port: envelope.port, ca, servername: "auth.sandgate.test" };
    const socket = connectSecurely({ ...offer, ALPNProtocols: ["h2", "http/1.1"] });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    expect(socket.alpnProtocol).toBe("http/1.1");
    socket.destroy();
    const before = envelope.certificates();
    put(pki.services.sandbox);
    expect(envelope.certificates()).not.toEqual(before);
    const servername = "sandbox.sandgate.test";
    expect((await ask(envelope, { headers: bearer(await token()), ca, servername })).status).toBe(101);
    await expect(ask(envelope, { headers: bearer(await token()), ca })).rejects.toThrow("does not match");
  });

  it("reads an issuer's keys over the network, and lets nobody in while it cannot", async () => {
    let status = 500;
    const issuer = createServer((_, response) =>
      response.writeHead(status).end(JSON.stringify({ keys: [JSON.parse(readFileSync(keyFile("ed"), "utf8"))] })),
    );
    await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
    const { port } = issuer.address() as AddressInfo; // a TCP server that listens has one
    const envelope = await start({ tokens: { issuer: "locate", key_set_url: `http://127.0.0.1:${port}/keys` } });
    expect(await ask(envelope, { headers: bearer(await token()) })).toMatchObject({
      status: 503,
      body: "keys_unavailable",
    });
    expect(envelope.checks["keys"]).toThrow();
    status = 200;
    await expect
      .poll(async () => (await ask(envelope, { headers: bearer(await token()) })).status, { timeout: 5_000 })
      .toBe(101);
    issuer.close();
  });
});

describe("a token", () => {
  it.each<[string, TokenParts, string]>([
    ["E-20: of another issuer", { claims: { iss: "example" } }, "token_issuer"],
    ["E-21: for another machine", { claims: { aud: "mlab2.lga03" } }, "token_audience"],
    ["E-22: that has expired", { claims: { exp: 1_000 } }, "token_expired"],
    ["E-22, EW-14: without exp", { claims: { exp: undefined } }, "token_claims"],
    ["EW-14: without iat", { claims: { iat: undefined } }, "token_claims"],
    ["EW-14: without jti", { claims: { jti: undefined } }, "token_claims"],
    ["EW-14: with an exp that is no time", { claims: { exp: "tomorrow" } }, "token_claims"],
    ["EW-14: with an exp beyond every calendar", { claims: { exp: 1e300 } }, "token_claims"],
    ["E-23: with nbf in the future", { claims: { nbf: future } }, "token_not_yet_valid"],
    ["E-24: with iat in the future", { claims: { iat: future, exp: future + 60 } }, "token_not_yet_valid"],
    ["E-25: with an unknown kid", { header: { kid: "nobody" } }, "token_key"],
    ["E-25: without a kid", { header: { kid: undefined } }, "token_malformed"],
    ["E-25: of an algorithm that is not pinned", { key: "es", header: { alg: "ES256", kid: "es" } }, "token_algorithm"],
    ["E-25: signed by another key", { key: "foreign" }, "token_signature"],
    ["E-26: for another service", { claims: { sub: "other" } }, "token_subject"],
    ["EW-16: for the monitor, by the clients' issuer", { claims: { sub: "monitoring" } }, "token_subject"],
    ["EW-16: for the monitor, by the clients' key", { claims: { iss: "monitor", sub: "monitoring" } }, "token_key"],
    [
      "EW-16: for the service, by the monitor",
      { key: "monitor", header: { kid: "monitor" }, claims: { iss: "monitor" } },
      "token_subject",
    ],
  ])("%s is refused with 401", async (_, parts, reason) => {
    const envelope = await start({ tokens: { issuer: "locate", key_files: [keyFile("ed")] } });
    expect(await ask(envelope, { headers: bearer(await token(parts)) })).toMatchObject({ status: 401, body: reason });
  });

  it.each([
    ["that is no JWT", "a.b.c"],
    ["with alg none", `${Buffer.from('{"alg":"none","kid":"ed"}').toString("base64url")}.e30.AA`],
    ["that is too long", "a".repeat(9_000)],
  ])("E-25: %s is refused with 401", async (_, text) => {
    expect((await ask(await start(), { headers: bearer(text) })).status).toBe(401);
  });

  it("E-30: in client-ip mode names the client, and 403 is for all others", async () => {
    const envelope = await start({ subject_mode: "client-ip" });
    const refused = { status: 403, body: "token_for_another_address" };
    expect(await ask(envelope, { headers: bearer(await token({ claims: { sub: "127.0.0.2" } })) })).toMatchObject(
      refused,
    );
    expect((await ask(envelope, { headers: bearer(await token({ claims: { sub: "ndt" } })) })).status).toBe(401);
    expect(
      (await ask(envelope, { headers: bearer(await token({ claims: { sub: "::ffff:127.0.0.1" } })) })).status,
    ).toBe(101);
  });

  it("E-30: in mode both names the service and the client", async () => {
    const envelope = await start({ subject_mode: "both" });
    const asks = async (claims: object) =>
      (await ask(envelope, { headers: bearer(await token({ claims: { ...claims } })) })).status;
    expect(await asks({})).toBe(403);
    expect(await asks({ client_ip: "127.0.0.2" })).toBe(403);
    expect(await asks({ client_ip: "127.0.0.1", sub: "other" })).toBe(401);
    expect(await asks({ client_ip: "127.0.0.1" })).toBe(101);
  });

  it.each<[string, unknown, number]>([
    ["both", ["2001:db8::7", "127.0.0.1"], 101],
    ["the client's alone", ["127.0.0.1"], 101],
    ["another's alone", ["2001:db8::7"], 403],
    ["two of one family", ["127.0.0.1", "127.0.0.2"], 401],
    ["three", ["127.0.0.1", "2001:db8::7", "2001:db8::8"], 401],
    ["none", [], 401],
    ["one that is none", ["127.0.0.1", "2001:db8::7 } ; flush ruleset"], 401],
    ["no list", "127.0.0.1", 401],
  ])("EW-22: may name the client's addresses of both families: %s", async (_, client_ips, status) => {
    const envelope = await start();
    expect((await ask(envelope, { headers: bearer(await token({ claims: { client_ips } })) })).status).toBe(status);
    expect(
      envelope
        .status()
        .leases.flatMap(({ addresses }) => addresses)
        .toSorted(),
    ).toEqual(status === 101 ? [...new Set(["127.0.0.1", ...(client_ips as string[])])].toSorted() : []);
  });

  it("EW-22: in mode both may name them instead of one", async () => {
    const envelope = await start({ subject_mode: "both" });
    const asks = async (claims: Record<string, unknown>) =>
      (await ask(envelope, { headers: bearer(await token({ claims })) })).status;
    expect(await asks({ client_ips: ["2001:db8::7", "127.0.0.1"] })).toBe(101);
    expect(await asks({ client_ips: ["2001:db8::7", "127.0.0.2"] })).toBe(403);
    expect(await asks({ client_ip: "127.0.0.1", client_ips: ["127.0.0.2"] })).toBe(403);
  });

  it("EW-09: is not spent by a request that was no handshake", async () => {
    const envelope = await start();
    const text = await token();
    expect((await ask(envelope, { headers: { authorization: `Bearer ${text}` } })).status).toBe(400);
    expect((await ask(envelope, { headers: bearer(text) })).status).toBe(101);
  });

  it("EW-11: in a URL is refused, unless the setting allows it", async () => {
    const path = async () => `/v0/envelope/access?access_token=${await token()}`;
    expect(await ask(await start(), { headers: handshake, path: await path() })).toMatchObject({
      status: 401,
      body: "token_in_query",
    });
    const envelope = await start({ tokens: { issuer: "locate", key_files: [keyFile("ed")], query: true } });
    expect((await ask(envelope, { headers: handshake, path: await path() })).status).toBe(101);
  });

  it("EW-11, EW-12: is neither logged nor counted by what it says", async () => {
    const envelope = await start({ compatible: {} });
    logs.length = 0;
    const secrets = [await token({ header: { kid: "chosen-by-the-caller" } }), await token()];
    for (const text of secrets)
      await ask(envelope, { headers: handshake, path: `/v0/envelope/access?access_token=${text}` });
    const written = `${logs.join("")}${await envelope.registry.metrics()}`;
    expect(logs).toHaveLength(2);
    for (const secret of [...secrets, "chosen-by-the-caller"]) expect(written).not.toContain(secret);
    expect(written).toMatch(/sandgate_envelope_requests_total\{outcome="token_key"\} 1/);
    expect(written).toMatch(/sandgate_envelope_requests_total\{outcome="granted"\} 1/);
    expect(written).toMatch(/sandgate_envelope_addresses 1/);
    expect(written).toMatch(/sandgate_envelope_capacity 100/);
  });
});

describe("a request", () => {
  it.each(["/", "/v0/allow", "/v0/envelope/access/", "//v0/envelope/access", "/metrics", "/debug/pprof/"])(
    "E-02, EW-19: of %s is not found, with or without a token",
    async (path) => {
      const envelope = await start();
      expect((await ask(envelope, { path })).status).toBe(404);
      expect((await ask(envelope, { path, headers: bearer(await token()) })).status).toBe(404);
    },
  );

  it.each(["POST", "HEAD", "OPTIONS", "PUT"])(
    "E-04, E-05: by %s is 401 without a token, and 405 with one",
    async (method) => {
      const envelope = await start();
      expect((await ask(envelope, { method })).status).toBe(401);
      expect((await ask(envelope, { method, headers: { authorization: `Bearer ${await token()}` } })).status).toBe(405);
      expect((await ask(envelope, { method, headers: bearer(await token()) })).status).toBe(405);
    },
  );

  it.each<[string, Record<string, string>]>([
    ["E-06: that asks for no upgrade", { connection: "close", upgrade: "" }],
    ["E-07: of another version", { "sec-websocket-version": "8" }],
    ["E-07: for another protocol", { upgrade: "h2c" }],
  ])("%s is 400, and leaves nothing behind", async (_, headers) => {
    const envelope = await start();
    const answer = await ask(envelope, { headers: { ...bearer(await token()), ...headers } });
    expect(answer).toMatchObject({ status: 400, headers: { "sec-websocket-version": "13" } });
    expect(await envelope.registry.metrics()).toMatch(/sandgate_envelope_addresses 0/);
  });

  it("E-08: with bytes behind it is closed without an answer", async () => {
    const envelope = await start();
    const socket = connect(envelope.port, "127.0.0.1");
    const lines = Object.entries(bearer(await token())).map(([name, value]) => `${name}: ${value}\r\n`);
    let answer = "";
    socket.setEncoding("utf8").on("data", (text) => (answer += text));
    socket.on("error", () => socket.destroy());
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(`GET /v0/envelope/access HTTP/1.1\r\nhost: a\r\n${lines.join("")}\r\n\x89\x00`);
    await closed;
    expect(answer).toBe("");
    expect(await envelope.registry.metrics()).toMatch(/sandgate_envelope_addresses 0/);
  });

  it("that was refused holds its connection no longer than a moment, whether its sender closes it or not", async () => {
    const envelope = await start();
    const socket = connect({ port: envelope.port, host: "127.0.0.1", allowHalfOpen: true });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => socket.destroy());
    socket.write("GET /v0/envelope/access HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    await new Promise((resolve) => socket.resume().once("end", resolve));
    const asking = setInterval(() => socket.write("x"), 50); // a closed connection answers what is sent with a reset
    await closed;
    clearInterval(asking);
  });

  it("EW-17: of a web page counts only from an allowed origin", async () => {
    const envelope = await start({ allowed_origins: ["https://speed.example"] });
    const from = async (origin: string) =>
      (await ask(envelope, { headers: { ...bearer(await token()), origin } })).status;
    expect(await from("https://evil.example")).toBe(403);
    expect(await from("null")).toBe(403);
    expect(await from("https://speed.example")).toBe(101);
  });
});

describe("in compatible mode", () => {
  const compatible = { compatible: {} };

  it("the reference's example works as printed: a token in the URL, a key of six bytes, neither iat nor jti", async () => {
    const envelope = await start({
      ...compatible,
      tokens: { issuer: "locate.measurementlab.net", key_files: [keyFile("ed")] },
    });
    const text = await token({ claims: { iss: "locate.measurementlab.net", iat: undefined, jti: undefined } });
    const answer = await ask(envelope, {
      path: `/v0/envelope/access?access_token=${text}`,
      headers: {
        ...handshake,
        "sec-websocket-key": "aGVsbG8K",
        "sec-websocket-protocol": "net.measurementlab.envelope",
      },
    });
    expect(answer.status).toBe(101);
  });

  it.each<[string, TokenParts, number]>([
    ["E-22: 400 for a token without exp", { claims: { exp: undefined } }, 400],
    ["E-26: 400 for another service", { claims: { sub: "other" } }, 400],
    ["E-22: 401 for one that has expired", { claims: { exp: 1_000 } }, 401],
  ])("%s", async (_, parts, status) => {
    expect((await ask(await start(compatible), { headers: bearer(await token(parts)) })).status).toBe(status);
  });

  it("E-40: counts under M-Lab's names (A.9), a success when it has ended, which no other mode has", async () => {
    const envelope = await start(compatible);
    await ask(envelope, { headers: bearer(await token()) });
    await ask(envelope, { method: "POST", headers: bearer(await token()) });
    expect(await envelope.registry.metrics()).toContain('envelope_requests_total{status="success"} 0');
    for (const socket of granted) socket.destroy();
    await expect.poll(() => envelope.registry.metrics()).toContain('envelope_requests_total{status="success"} 1');
    const metrics = await envelope.registry.metrics();
    expect(metrics).toContain('envelope_requests_total{status="wrong-method"} 1');
    expect(await (await start()).registry.metrics()).not.toContain("\nenvelope_requests_total");
  });

  it("counts tokens under M-Lab's names (A.9), by a closed set of reasons", async () => {
    const envelope = await start(compatible);
    const asks = async (parts: TokenParts) => await ask(envelope, { headers: bearer(await token(parts)) });
    await ask(envelope, { path: "/v0/allow" });
    await ask(envelope, { headers: handshake });
    await asks({});
    await asks({ claims: { sub: "other" } });
    await asks({ claims: { iss: "chosen-by-the-caller" } });
    await asks({ claims: { aud: "other" } });
    await asks({ claims: { exp: 1_000 } });
    await asks({ claims: { nbf: future } });
    await asks({ header: { kid: "chosen-by-the-caller" } });
    const metrics = await envelope.registry.metrics();
    const of = (path: string, request: string, reason: string, count: number) =>
      `controller_access_token_requests_total{path="${path}",request="${request}",reason="${reason}"} ${count}`;
    const path = "/v0/envelope/access";
    for (const line of [
      of("unknown", "accepted", "unenforced-path", 1),
      of(path, "rejected", "missing", 1),
      of(path, "accepted", "locate", 2),
      of(path, "rejected", "invalid issuer claim (iss)", 1),
      of(path, "rejected", "invalid audience claim (aud)", 1),
      of(path, "rejected", "token is expired (exp)", 1),
      of(path, "rejected", "token not valid yet (nbf)", 1),
      of(path, "rejected", "invalid token", 1),
    ])
      expect(metrics).toContain(line);
    expect(metrics).not.toContain("chosen-by-the-caller");
  });

  it("E-27: takes a token until it expires, or once if so set", async () => {
    const text = await token();
    const [again, once] = [await start(compatible), await start({ compatible: { single_use: true } })];
    const asks = async (envelope: RunningEnvelope, localAddress: string) =>
      (await ask(envelope, { headers: bearer(text), localAddress })).status;
    expect([await asks(again, "127.0.0.1"), await asks(again, "127.0.0.2")]).toEqual([101, 101]);
    expect([await asks(once, "127.0.0.1"), await asks(once, "127.0.0.2")]).toEqual([101, 401]);
  });

  it("E-28, E-44: needs no token if so set, and then ends a grant by itself", async () => {
    const envelope = await start({ tokens: undefined, compatible: { token_required: false, timeout_seconds: 1 } });
    const { status, ended } = await ask(envelope, { headers: handshake });
    expect(status).toBe(101);
    await ended;
    expect(envelope.status().leases).toEqual([]);
    expect((await ask(envelope, { headers: bearer(await token()) })).status).toBe(401);
    expect(await envelope.registry.metrics()).toContain('reason="empty"} 1');
  });

  it("E-28: judges a token that it does not need", async () => {
    const envelope = await start({ compatible: { token_required: false } });
    expect((await ask(envelope, { headers: bearer(await token()) })).status).toBe(101);
    expect((await ask(envelope, { headers: bearer(await token({ key: "foreign" })) })).status).toBe(401);
    expect((await ask(envelope, { headers: bearer(await token({ claims: { sub: "other" } })) })).status).toBe(400);
  });

  it.each<[string, string, number, string]>([
    ["E-05: another method", "POST", 405, ""],
    ["E-06: no handshake", "GET", 400, "Bad Request"],
  ])("%s has M-Lab's body and no header of its own", async (_, method, status, body) => {
    const headers = { authorization: `Bearer ${await token()}` };
    const answer = await ask(await start(compatible), { method, headers });
    expect(answer).toMatchObject({ status, body });
    expect(answer.headers.allow).toBeUndefined();
  });

  it("E-11: takes a token from a form, which wins over the URL", async () => {
    const envelope = await start(compatible);
    const asks = async (inUrl: string, inForm: string) =>
      await ask(envelope, {
        method: "POST",
        path: `/v0/envelope/access?access_token=${inUrl}`,
        headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
        body: `access_token=${inForm}`,
      });
    expect((await asks("bad", await token())).status).toBe(405);
    expect((await asks(await token(), "bad")).status).toBe(401);
    expect((await asks("bad", "a".repeat(20_000))).status).toBe(401);
  });

  describe("/v0/allow", () => {
    const allowing = { compatible: { allow_path: true } };
    const path = async (sub: string) => `/v0/allow?access_token=${await token({ claims: { sub } })}`;

    it("E-02: is not found unless it is set", async () => {
      expect((await ask(await start(compatible), { path: await path("127.0.0.1") })).status).toBe(404);
    });

    it("E-30: lets in the client whose address the token names, and holds its POST until the lease ends", async () => {
      const envelope = await start({ compatible: { allow_path: true, timeout_seconds: 1 } });
      const text = await token({ claims: { sub: "127.0.0.1", exp: second() + 1 } });
      const asking = ask(envelope, { method: "POST", path: `/v0/allow?access_token=${text}` });
      await expect.poll(() => envelope.status().leases.length).toBe(1);
      expect(await asking).toMatchObject({ status: 200, body: "the lease has ended" });
      expect(envelope.status().leases).toEqual([]);
    });

    it("ends the lease when the client of a POST is gone", async () => {
      const envelope = await start(allowing);
      const socket = connect(envelope.port, "127.0.0.1");
      socket.write(`POST ${await path("127.0.0.1")} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n`);
      const [head] = await once(socket, "data");
      expect(String(head)).toMatch(/^HTTP\/1\.1 200 /);
      expect(envelope.status().leases).toHaveLength(1);
      socket.destroy();
      await expect.poll(() => envelope.status().leases).toEqual([]);
    });

    it("E-30: is for nobody else, and takes a WebSocket too", async () => {
      const envelope = await start(allowing);
      const other = await path("127.0.0.2");
      expect((await ask(envelope, { method: "POST", path: other })).status).toBe(403);
      expect((await ask(envelope, { method: "POST", path: await path("ndt") })).status).toBe(400);
      expect((await ask(envelope, { method: "POST", path: "/v0/allow" })).status).toBe(401);
      expect((await ask(envelope, { path: other, headers: handshake, localAddress: "127.0.0.2" })).status).toBe(101);
    });
  });

  it("E-10: takes any origin", async () => {
    const headers = { ...bearer(await token()), origin: "https://evil.example" };
    expect((await ask(await start(compatible), { headers })).status).toBe(101);
  });

  it.each(["//v0/envelope/access", "/v0/./envelope/access"])("E-03: sends %s to the clean path", async (path) => {
    const answer = await ask(await start(compatible), { path: `${path}?access_token=a` });
    expect(answer).toMatchObject({ status: 301, headers: { location: "/v0/envelope/access?access_token=a" } });
  });
});

it("does not start with a private key among those that verify", async () => {
  await expect(start({ tokens: { issuer: "locate", key_files: [keyFile("private")] } })).rejects.toThrow(
    "tokens.key_files.0: holds a private or secret key",
  );
});

it("does not start with one kid twice", async () => {
  await expect(start({ tokens: { issuer: "locate", key_files: [keyFile("ed"), keyFile("ed")] } })).rejects.toThrow(
    "tokens.key_files.1: holds a kid that another key has",
  );
});

it("hears no peer for a while that brought too many tokens that are none", async () => {
  const envelope = await start({ failures_per_minute: 2 });
  const bad = bearer(await token({ key: "foreign" }));
  expect((await ask(envelope, { headers: handshake })).status).toBe(401);
  for (const _ of [1, 2]) expect((await ask(envelope, { headers: bad })).status).toBe(401);
  const refused = await ask(envelope, { headers: bearer(await token()) });
  expect(refused).toMatchObject({ status: 429, body: "too_many_failures" });
  expect(Number(refused.headers["retry-after"])).toBeLessThanOrEqual(30);
  expect((await ask(envelope, { headers: bearer(await token()), localAddress: "127.0.0.2" })).status).toBe(101);
});

it("A.10: lets nobody but the monitor in while more is transmitted than may be", async () => {
  const envelope = await start({ transmit: { device: "lo", max_bits_per_second: 1 }, compatible: {} });
  await expect
    .poll(async () => await ask(envelope, { headers: bearer(await token()) }))
    .toMatchObject({ status: 503, headers: { "retry-after": "1" } });
  const monitor = { key: "monitor", header: { kid: "monitor" }, claims: { iss: "monitor", sub: "monitoring" } };
  expect((await ask(envelope, { headers: bearer(await token(monitor)) })).status).toBe(101);
  const metrics = await envelope.registry.metrics();
  expect(metrics).toMatch(/controller_access_txcontroller_requests_total\{request="rejected",protocol="http"\} [1-9]/);
  expect(metrics).toMatch(/controller_access_txcontroller_requests_total\{request="accepted",protocol="http"\} [1-9]/);
});

it("E-26: takes the monitor from the clients' issuer in compatible mode alone, if so set", async () => {
  const asks = async (compatible: object) =>
    (await ask(await start({ compatible }), { headers: bearer(await token({ claims: { sub: "monitoring" } })) }))
      .status;
  expect([await asks({}), await asks({ monitoring_subject: true })]).toEqual([400, 101]);
});

it("EW-21: does not start to guard a network device that is not there, nor to watch it", async () => {
  const message = "is no network device of this host";
  await expect(start({ development: undefined, firewall: { device: "nowhere0" } })).rejects.toThrow(message);
  await expect(start({ transmit: { device: "nowhere0", max_bits_per_second: 1 } })).rejects.toThrow(message);
});

it("says who is in, until when, and why", async () => {
  const envelope = await start();
  await ask(envelope, { headers: bearer(await token({ claims: { exp: second() + 60 } })) });
  const { leases } = envelope.status();
  expect(leases).toEqual([
    { id: expect.any(String), addresses: ["127.0.0.1"], issuer: "locate", subject: "ndt", endTime: expect.any(String) },
  ]);
  const left = Date.parse(leases[0]?.endTime ?? "") - Date.now();
  expect(left).toBeGreaterThan(55_000);
  expect(left).toBeLessThanOrEqual(60_000);
});

it("says first that nothing is guarded when there is no firewall", async () => {
  logs.length = 0;
  await start();
  expect(logs[0]).toContain("no firewall: everybody reaches the guarded ports");
});
