import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:tls";
import { RevocationKind } from "@sandgate/api/auth";
import { ProviderKind, Verdict } from "@sandgate/api/policy";
import { newPlaceholder, placeholderBytes } from "@sandgate/policy";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TestProvider } from "./control-plane.ts";
import type { OriginBehaviour } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench } from "./proxy-bench.ts";

const bench = new ProxyBench();
let s1: BenchSandbox;
let s2: BenchSandbox;

const answer: OriginBehaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

beforeAll(async () => {
  await bench.start();
  s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa");
  s2 = await bench.addSandbox("sbx-bbbbbbbbbbbbbbbbbbbb");
});
beforeEach(async () => {
  bench.forget();
  bench.control.releases.length = 0;
  bench.plain.behaviour = answer;
  bench.tls.behaviour = answer;
  await bench.control.setProviders(s1.id, bearer, apiKey, password);
  await bench.control.setProviders(s2.id, ofOther);
});
afterAll(() => bench.stop());

let made = 0;
/** A provider of TLS at https://api.example.test/v1, but for what `more` says. */
function provider(more: Partial<TestProvider> = {}): TestProvider {
  made += 1;
  return {
    providerId: `prv-${String.fromCharCode(97 + made).repeat(20)}`,
    name: `p${made}`,
    version: 1n,
    kind: ProviderKind.BEARER,
    endpoints: [{ host: "api.example.test", port: 443, path: "/v1", cleartext: false }],
    placeholder: newPlaceholder(randomBytes(placeholderBytes)),
    secret: `sk-live-${randomBytes(12).toString("hex")}`,
    ...more,
  };
}
const cleartext = [{ host: "api.example.test", port: 80, path: "/", cleartext: true }];
const bearer = provider();
const apiKey = provider({ kind: ProviderKind.HEADER, header: "x-api-key", endpoints: cleartext });
const password = provider({ kind: ProviderKind.BASIC, username: "git", endpoints: cleartext });
const ofOther = provider({ endpoints: cleartext });
const secrets = [bearer, apiKey, password, ofOther].flatMap(({ secret }) => [
  secret,
  Buffer.from(secret).toString("base64"),
  Buffer.from(`git:${secret}`).toString("base64"),
]);

/** What all origins received. */
const received = () => [...bench.plain.received, ...bench.tls.received].join("\n");
const expectNoSecret = (text: string) => {
  for (const secret of secrets) expect(text).not.toContain(secret);
};
const asBasic = (user: string, text: string) => `Basic ${Buffer.from(`${user}:${text}`).toString("base64")}`;

function request(url: string, fields: readonly string[], options: { method?: string; body?: string } = {}): string {
  const { host } = new URL(url.replace(":443/", ":4433/"));
  const { method = "GET", body = "" } = options;
  return [
    `${method} ${url} HTTP/1.1`,
    `Host: ${host.replace(":4433", ":443")}`,
    basic(s1),
    ...fields,
    ...(body === "" ? [] : [`content-length: ${body.length}`]),
    "",
    body,
  ].join("\r\n");
}

async function ask(url: string, fields: readonly string[], options: { method?: string; body?: string } = {}) {
  const client = await bench.connect(s1);
  client.send(request(url, fields, options));
  return client.reply();
}

const api = "http://api.example.test:443/v1/chat";
const plain = "http://api.example.test/any";

describe("a placeholder in its field, to its endpoint", () => {
  it("becomes the secret, over TLS that the proxy speaks to the origin", async () => {
    expect((await ask(api, [`Authorization: Bearer ${bearer.placeholder}`])).status).toBe(200);
    expect(bench.tls.received).toHaveLength(1);
    expect(bench.tls.received[0]).toMatch(/^GET \/v1\/chat HTTP\/1\.1\r\nhost: api\.example\.test\r\n/);
    expect(bench.tls.received[0]).toContain(`\r\nauthorization: Bearer ${bearer.secret}\r\n`);
    expect(bench.tls.received[0]).not.toContain("placeholder");
    expect(bench.plain.received).toEqual([]);
    const { sentBytes, receivedBytes } = await bench.control.decision(({ duration }) => duration !== undefined);
    expect(sentBytes).toBeGreaterThan(0n);
    expect(receivedBytes).toBeGreaterThan(0n);
  });

  it.each([
    ["in any case", "aUTHORIZATION", () => `bEARER  ${bearer.placeholder}`, api, () => `Bearer ${bearer.secret}`],
    ["as a header of its own", "X-Api-Key", () => apiKey.placeholder, plain, () => apiKey.secret],
    [
      "as a password",
      "Authorization",
      () => asBasic("git", password.placeholder),
      plain,
      () => asBasic("git", password.secret),
    ],
    [
      "of a user it may not choose",
      "Authorization",
      () => asBasic("root", password.placeholder),
      plain,
      () => asBasic("git", password.secret),
    ],
  ])("becomes the secret %s", async (_name, field, value, url, sent) => {
    expect((await ask(url, [`${field}: ${value()}`])).status).toBe(200);
    const lines = received().split("\r\n");
    expect(lines.filter((line) => line.toLowerCase().startsWith(`${field.toLowerCase()}:`))).toEqual([
      `${field.toLowerCase()}: ${sent()}`,
    ]);
  });

  it("becomes the secret of each request anew on one connection, and of no other request", async () => {
    await bench.control.setProviders(s1.id, { ...apiKey, version: 8n });
    const client = await bench.connect(s1);
    for (const fields of [[`x-api-key: ${apiKey.placeholder}`], [], [`x-api-key: ${apiKey.placeholder}`]]) {
      client.send(request(plain, fields));
      expect((await client.reply()).status).toBe(200);
      client.clear();
    }
    expect(bench.plain.received.map((text) => text.includes(apiKey.secret))).toEqual([true, false, true]);
    expect(bench.control.releases).toEqual([apiKey.placeholder]); // held for the second
  });

  it("becomes the secret inside a tunnel that is not encrypted", async () => {
    const inTunnel = provider({ endpoints: [{ host: "api.example.test", port: 5432, path: "/", cleartext: true }] });
    await bench.control.setProviders(s1.id, inTunnel);
    const client = await bench.connect(s1);
    client.send(`CONNECT api.example.test:5432 HTTP/1.1\r\nHost: api.example.test:5432\r\n${basic(s1)}\r\n\r\n`);
    await client.until("200 Connection Established\r\n\r\n");
    client.clear();
    client.send(
      `GET / HTTP/1.1\r\nHost: api.example.test:5432\r\nAuthorization: Bearer ${inTunnel.placeholder}\r\n\r\n`,
    );
    expect((await client.reply()).status).toBe(200);
    expect(bench.plain.received[0]).toContain(`authorization: Bearer ${inTunnel.secret}`);
  });

  it("becomes the secret inside a tunnel to its endpoint, which some clients open for plain HTTP, too", async () => {
    const client = await bench.connect(s1);
    client.send(`CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n${basic(s1)}\r\n\r\n`);
    await client.until("200 Connection Established\r\n\r\n");
    client.clear();
    for (const path of ["/v1/one", "/v1/two"]) {
      client.send(
        `GET ${path} HTTP/1.1\r\nHost: api.example.test:443\r\nAuthorization: Bearer ${bearer.placeholder}\r\n\r\n`,
      );
      expect((await client.reply()).status).toBe(200);
      client.clear();
    }
    expect(bench.tls.received.map((text) => text.includes(`authorization: Bearer ${bearer.secret}\r\n`))).toEqual([
      true,
      true,
    ]);
  });

  it("does not become the secret in what a client encrypts itself", async () => {
    const client = await bench.connect(s1);
    client.send(`CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n${basic(s1)}\r\n\r\n`);
    await client.until("200 Connection Established\r\n\r\n");
    const secure = connect({ socket: client.socket, servername: "api.example.test", ca: bench.tls.authority });
    await once(secure, "secureConnect");
    secure.write(`GET /v1 HTTP/1.1\r\nHost: api.example.test\r\nAuthorization: Bearer ${bearer.placeholder}\r\n\r\n`);
    await once(secure, "data");
    expect(received()).toContain(bearer.placeholder);
    expectNoSecret(received());
  });

  it("is sent to no origin without a valid certificate for its name", async () => {
    const elsewhere = provider({
      endpoints: [{ host: "a.wild.example.test", port: 443, path: "/", cleartext: false }],
    });
    await bench.control.setProviders(s1.id, elsewhere);
    const reply = await ask("http://a.wild.example.test:443/", [`Authorization: Bearer ${elsewhere.placeholder}`]);
    expect([reply.status, reply.headers.get("x-proxy-error")]).toEqual([502, "upstream_failed"]);
    expect(received()).toBe("");
  });
});

describe("G-12: a secret goes nowhere else", () => {
  it.each<[string, string, () => string[]]>([
    ["another host", "http://rest.example.test/v1/chat", () => [`Authorization: Bearer ${bearer.placeholder}`]],
    ["another port", "http://api.example.test/v1/chat", () => [`Authorization: Bearer ${bearer.placeholder}`]],
    ["another path", "http://api.example.test:443/v2", () => [`Authorization: Bearer ${bearer.placeholder}`]],
    ["a path around it", "http://api.example.test:443/v1/../v2", () => [`Authorization: Bearer ${bearer.placeholder}`]],
    [
      "another path, escaped",
      "http://api.example.test:443/v1/%2e%2e/v2",
      () => [`Authorization: Bearer ${bearer.placeholder}`],
    ],
    ["another header", api, () => [`X-Debug: ${bearer.placeholder}`]],
    ["a cookie", api, () => [`Cookie: key=${bearer.placeholder}`]],
    ["another scheme", api, () => [`Authorization: Token ${bearer.placeholder}`]],
    ["a password", api, () => [`Authorization: ${asBasic("x", bearer.placeholder)}`]],
    ["a user name", plain, () => [`Authorization: ${asBasic(password.placeholder, "x")}`]],
    ["a part of a value", plain, () => [`X-Api-Key: ${apiKey.placeholder}, other`]],
    ["a value around it", plain, () => [`X-Api-Key: x${apiKey.placeholder}`]],
    ["two headers", plain, () => [`X-Api-Key: ${apiKey.placeholder}`, `X-Debug: ${apiKey.placeholder}`]],
    ["one header twice", plain, () => [`X-Api-Key: ${apiKey.placeholder}`, `X-Api-Key: ${apiKey.placeholder}`]],
    ["one header with another value", plain, () => [`X-Api-Key: mine`, `X-Api-Key: ${apiKey.placeholder}`]],
    ["another provider's field", plain, () => [`X-Api-Key: ${password.placeholder}`]],
    ["who has another sandbox's placeholder", plain, () => [`Authorization: Bearer ${ofOther.placeholder}`]],
    ["who made one up", plain, () => [`X-Api-Key: ${newPlaceholder(randomBytes(placeholderBytes))}`]],
    ["who has half of one", plain, () => [`X-Api-Key: ${apiKey.placeholder.slice(0, 40)}`]],
  ])("not to %s", async (_name, url, fields) => {
    const reply = await ask(url, fields());
    expect([reply.status, reply.headers.get("x-deny-reason")]).toEqual([403, "credential_not_granted"]);
    expect(received()).toBe("");
    expect(bench.control.releases).toEqual([]);
    const decision = await bench.control.decision(({ reason }) => reason === "credential_not_granted");
    expect(decision.verdict).toBe(Verdict.DENIED);
  });

  it("not into the URL and not into a body: there a placeholder is a text like others", async () => {
    const body = `{"key":"${apiKey.placeholder}"}`;
    expect((await ask(`${plain}?key=${apiKey.placeholder}`, [], { method: "POST", body })).status).toBe(200);
    expect(received()).toContain(body);
    expectNoSecret(received());
  });

  it.each([
    ["a space before the colon", () => [`X-Api-Key : ${apiKey.placeholder}`]],
    ["a folded line", () => [`X-Api-Key:`, ` ${apiKey.placeholder}`]],
    ["a bare line feed", () => [`X-Api-Key: ${apiKey.placeholder}\nX-Debug: 1`]],
    ["two framings", () => [`X-Api-Key: ${apiKey.placeholder}`, "Transfer-Encoding: chunked", "Content-Length: 4"]],
    ["a length said twice", () => [`X-Api-Key: ${apiKey.placeholder}`, "Content-Length: 0", "Content-Length: 5"]],
  ])("not with a head that can be read in two ways: %s", async (_name, fields) => {
    expect((await ask(plain, fields())).status).toBe(400);
    expect(received()).toBe("");
  });

  it("not after it, where a second request hides in the body of the first", async () => {
    const hidden = request("http://rest.example.test/", [`X-Api-Key: ${apiKey.placeholder}`]);
    const reply = await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`], { method: "POST", body: hidden });
    expect(reply.status).toBe(200);
    expect(bench.plain.received).toHaveLength(1);
    expect(received().split(apiKey.secret)).toHaveLength(2); // once, in the head
  });

  it("not where an origin redirects the workload", async () => {
    bench.plain.behaviour = (socket) =>
      socket.end("HTTP/1.1 302 Found\r\nlocation: http://rest.example.test/steal\r\ncontent-length: 0\r\n\r\n");
    const reply = await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`]);
    expect(reply.status).toBe(302);
    const second = await ask(reply.headers.get("location") ?? "", [`X-Api-Key: ${apiKey.placeholder}`]);
    expect(second.headers.get("x-deny-reason")).toBe("credential_not_granted");
    expect(bench.plain.received).toHaveLength(1);
  });

  it("not by naming the field as one of the connection's: then nothing is sent", async () => {
    expect((await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`, "Connection: X-Api-Key"])).status).toBe(200);
    expectNoSecret(received());
    expect(received()).not.toContain(apiKey.placeholder);
  });

  it("not back to the workload in the head of the answer", async () => {
    bench.plain.behaviour = (socket, head) => {
      const [, value = ""] = /^authorization: (.*)$/m.exec(head) ?? [];
      const secret = password.secret;
      socket.end(
        `HTTP/1.1 200 ${secret}\r\nx-seen: ${value}\r\nx-other: 1\r\nset-cookie: k=${secret}\r\ncontent-length: 2\r\n\r\nok`,
      );
    };
    const client = await bench.connect(s1);
    client.send(request(plain, [`Authorization: ${asBasic("git", password.placeholder)}`]));
    expect((await client.reply()).headers.get("x-other")).toBe("1");
    expectNoSecret(client.text);
  });

  it("not back to the workload in the body of the answer, in however many pieces: the exchange is cut", async () => {
    let more: () => void = () => undefined;
    const [begin, end] = [apiKey.secret.slice(0, 10), apiKey.secret.slice(10)];
    bench.plain.behaviour = (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nyou sent ${begin}`);
      more = () => socket.write(`${end} and more`);
    };
    const client = await bench.connect(s1);
    client.send(request(plain, [`X-Api-Key: ${apiKey.placeholder}`, "Accept-Encoding: gzip"]));
    await client.until("you sent ");
    more();
    await client.closed;
    expect(client.text).not.toContain(end);
    expect(received()).toContain("\r\naccept-encoding: identity\r\n");
    expect(received()).not.toContain("gzip");
    await bench.control.decision(({ reason }) => reason === "credential_echoed");
  });

  it("not into logs, decisions or metrics", async () => {
    await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`]);
    await ask(api, [`Authorization: Bearer ${bearer.placeholder}`]);
    await bench.control.decision(({ port, duration }) => port === 443 && duration !== undefined);
    expect(received()).toContain(bearer.secret);
    expectNoSecret(bench.log.join("\n"));
    expectNoSecret(await bench.registry.metrics());
    expectNoSecret(
      JSON.stringify(bench.control.decisions, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
    );
  });
});

describe("a credential lives no longer than what grants it", () => {
  /** An exchange whose answer has begun and does not end. */
  async function openExchange() {
    bench.plain.behaviour = (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
    const client = await bench.connect(s1);
    client.send(request(plain, [`X-Api-Key: ${apiKey.placeholder}`]));
    await client.until("begun");
    return client;
  }

  it("an exchange is cut, and the next refused, when the provider is deleted or no longer named", async () => {
    const client = await openExchange();
    const startedAt = performance.now();
    await bench.control.setProviders(s1.id, bearer);
    await client.closed;
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await bench.control.decision(({ reason }) => reason === "policy_changed");
    const reply = await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`]);
    expect(reply.headers.get("x-deny-reason")).toBe("credential_not_granted");
  });

  it("an exchange is cut when its endpoint is no longer one", async () => {
    const client = await openExchange();
    await bench.control.setProviders(s1.id, { ...apiKey, version: 2n, endpoints: bearer.endpoints });
    await client.closed;
  });

  it("a rotation lets what is open go on, and the next request has the new secret", async () => {
    const client = await openExchange();
    const next = { ...apiKey, version: 2n, secret: "sk-live-next-secret" };
    await bench.control.setProviders(s1.id, next);
    bench.plain.behaviour = answer;
    expect((await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`])).status).toBe(200);
    expect(bench.plain.received.map((text) => /x-api-key: (.*)\r/.exec(text)?.[1])).toEqual([
      apiKey.secret,
      next.secret,
    ]);
    expect(client.socket.destroyed).toBe(false);
    client.socket.destroy();
  });

  it("a secret that is withdrawn while it is on its way is not sent", async () => {
    await bench.control.setProviders(s1.id, { ...apiKey, version: 9n });
    const release = Promise.withResolvers<void>();
    bench.control.holdReleases = release.promise;
    const client = await bench.connect(s1);
    client.send(request(plain, [`X-Api-Key: ${apiKey.placeholder}`]));
    await expect.poll(() => bench.control.releases).toHaveLength(1);
    await bench.control.setProviders(s1.id, bearer);
    release.resolve();
    await client.closed;
    expect(received()).toBe("");
  });

  it("a secret that cannot be had is an outage, and nothing is sent", async () => {
    bench.control.up = false;
    const reply = await ask(plain, [`X-Api-Key: ${apiKey.placeholder}`]);
    bench.control.up = true;
    expect([reply.status, reply.headers.get("x-proxy-error")]).toEqual([503, "credential_unavailable"]);
    expect(received()).toBe("");
  });

  it("G-15 a revoked sandbox has none", async () => {
    const gone = await bench.addSandbox("sbx-cccccccccccccccccccc");
    const own = provider({ endpoints: cleartext });
    await bench.control.setProviders(gone.id, own);
    const client = await bench.connect(gone);
    const send = () =>
      client.send(
        `GET ${plain} HTTP/1.1\r\nHost: api.example.test\r\n${basic(gone)}\r\nAuthorization: Bearer ${own.placeholder}\r\n\r\n`,
      );
    send();
    expect((await client.reply()).status).toBe(200);
    client.clear();
    bench.control.revoke(RevocationKind.SANDBOX, gone.id);
    send();
    expect((await client.reply()).status).toBe(407);
    expect(received().split(own.secret)).toHaveLength(2);
  });
});
