import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { clientHello, dtlsHello, serverNameExtension, sslv2Hello } from "./client-hello-bytes.ts";
import { echoRequest } from "./origin-server.ts";
import { type BenchSandbox, basic, ProxyBench, publicAddress, type RawClient } from "./proxy-bench.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start({ firstBytesTimeoutMs: 400 });
const s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa");
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
  bench.tls.behaviour = echoRequest;
});

const connectTo = (authority: string, sandbox: BenchSandbox = s1) =>
  `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${basic(sandbox)}\r\n\r\n`;

async function openTunnel(authority = "api.example.test:443"): Promise<RawClient> {
  const client = await bench.connect(s1);
  client.send(connectTo(authority));
  expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
  client.clear();
  return client;
}

/** Expects the tunnel to be cut, nothing to have gone through, and the decision to say why. */
async function expectCut(client: RawClient, reason: string): Promise<void> {
  await client.closed;
  expect(client.text).toBe("");
  expect([...bench.tls.received, ...bench.plain.received].join("")).toBe("");
  await bench.control.decision((one) => one.sandboxId === s1.id && one.reason === reason && one.duration !== undefined);
}

async function overTls(client: RawClient, servername: string): Promise<TLSSocket> {
  client.socket.removeAllListeners("data");
  const tls = connectTls({ socket: client.socket, servername, rejectUnauthorized: false });
  await new Promise<void>((resolve, reject) => {
    tls.once("secureConnect", resolve);
    tls.once("error", reject);
  });
  return tls;
}

describe("TLS inside CONNECT", () => {
  it.each([
    ["T01", "api.example.test"],
    ["T01", "API.example.test"],
  ])("%s, T08: a handshake of Node's own client for %s passes", async (_id, name) => {
    const tls = await overTls(await openTunnel(), name);
    tls.write("GET / HTTP/1.1\r\nhost: api.example.test\r\n\r\n");
    const answer = await new Promise<string>((resolve) =>
      tls.once("data", (bytes: Buffer) => resolve(bytes.toString())),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
    tls.destroy();
    expect(bench.dials).toEqual([`${publicAddress}:443`]);
    const ended = await bench.control.decision((one) => one.sandboxId === s1.id && one.receivedBytes > 0n);
    expect(ended).toMatchObject({
      host: "api.example.test",
      port: 443,
      rule: "api",
      address: publicAddress,
      method: "CONNECT",
    });
    expect(ended.sentBytes).toBeGreaterThan(1000n);
  });

  it("C37: bytes that came with CONNECT are delivered once", async () => {
    const client = await bench.connect(s1);
    const hello = clientHello({ extensions: [serverNameExtension("api.example.test")] });
    client.send(Buffer.concat([Buffer.from(connectTo("api.example.test:5432"), "latin1"), hello]));
    await client.until("\r\n\r\n");
    await expect.poll(() => bench.plain.received[0]?.length).toBe(hello.length);
    expect(bench.plain.received[0]).toBe(hello.toString("latin1"));
    client.socket.destroy();
  });

  it("C38: bytes that came with a denied CONNECT go nowhere", async () => {
    const client = await bench.connect(s1);
    client.send(
      Buffer.concat([
        Buffer.from(connectTo("evil.test:443"), "latin1"),
        clientHello({ extensions: [serverNameExtension("evil.test")] }),
      ]),
    );
    expect((await client.reply()).status).toBe(403);
    expect(bench.dials).toEqual([]);
  });

  it("T07: a ClientHello in several records, cut within the name, passes", async () => {
    const client = await openTunnel("api.example.test:5432");
    const hello = clientHello({ extensions: [serverNameExtension("api.example.test")], recordLength: 60 });
    for (const byte of hello) client.send(Buffer.of(byte));
    await expect.poll(() => bench.plain.received[0]?.length).toBe(hello.length);
    client.socket.destroy();
  });

  it("T17: the record's version is cosmetic", async () => {
    const client = await openTunnel("api.example.test:5432");
    const hello = clientHello({ extensions: [serverNameExtension("api.example.test")], recordVersion: 0x0301 });
    client.send(hello);
    await expect.poll(() => bench.plain.received[0]?.length).toBe(hello.length);
    client.socket.destroy();
  });

  const api = serverNameExtension("api.example.test");
  const ech = { type: 0xfe0d, content: Buffer.alloc(64) };
  it.each([
    ["T02", clientHello({ extensions: [serverNameExtension("evil.test")] }), "sni_mismatch"],
    ["T02", clientHello({ extensions: [serverNameExtension("api.example.test.evil.test")] }), "sni_mismatch"],
    ["T04", clientHello({ extensions: [] }), "sni_missing"],
    ["T04", clientHello({ extensions: undefined }), "sni_missing"],
    ["T05", clientHello({ extensions: [serverNameExtension(publicAddress)] }), "sni_mismatch"],
    ["T05", clientHello({ extensions: [serverNameExtension("api.example.test\0")] }), "sni_mismatch"],
    ["T05", clientHello({ extensions: [serverNameExtension("a".repeat(300))] }), "protocol_not_allowed"],
    ["T05", clientHello({ extensions: [serverNameExtension("\u00e4pi.example.test")] }), "sni_mismatch"],
    ["T05", clientHello({ extensions: [serverNameExtension("")] }), "protocol_not_allowed"],
    [
      "T05",
      clientHello({ extensions: [serverNameExtension("api.example.test", "evil.test")] }),
      "protocol_not_allowed",
    ],
    ["T05", clientHello({ extensions: [api, serverNameExtension("evil.test")] }), "protocol_not_allowed"],
    ["T11", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"), "protocol_not_allowed"],
    ["T11", Buffer.from("GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n"), "protocol_not_allowed"],
    ["T16", clientHello({ extensions: [serverNameExtension("cloudflare-ech.com"), ech] }), "sni_mismatch"],
    ["T17", sslv2Hello, "protocol_not_allowed"],
    ["T17", dtlsHello, "protocol_not_allowed"],
    ["T22", Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), "protocol_not_allowed"],
    ["length", clientHello({ extensions: [api], lengthChange: -1 }), "protocol_not_allowed"],
  ])("%s: %o is cut: %s", async (_id, bytes, reason) => {
    const client = await openTunnel();
    client.send(bytes);
    await expectCut(client, reason);
  });

  it("T10: a tunnel in which nothing is said is cut", async () => {
    await expectCut(await openTunnel(), "first_bytes_timeout");
  });

  it("T04: an address has no name to show", async () => {
    const client = await openTunnel("10.9.1.2:443");
    client.send(clientHello({ extensions: [] }));
    await expect.poll(() => bench.dials).toEqual(["10.9.1.2:443"]);
    const named = await openTunnel("10.9.1.2:443");
    named.send(clientHello({ extensions: [api] }));
    await named.closed;
    await bench.control.decision((one) => one.host === "10.9.1.2" && one.reason === "sni_mismatch");
    client.socket.destroy();
  });
});

describe("plain HTTP inside CONNECT", () => {
  const get = (host: string, target = "/x") => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

  it("T13: each request is decided anew, and none leads elsewhere", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    const client = await openTunnel("api.example.test:80");
    client.send(get("api.example.test"));
    await client.until("first");
    expect(bench.plain.received[0]).toMatch(/^GET \/x HTTP\/1\.1\r\nhost: api\.example\.test\r\n/);
    client.clear();
    client.send(get("api.example.test"));
    await client.until("first");
    expect(bench.dials).toHaveLength(2);
    client.clear();
    client.send(get("evil.test"));
    await client.closed;
    expect(client.text).toMatch(/^HTTP\/1\.1 403 [\s\S]*x-deny-reason: host_not_allowed/);
    expect(bench.dials).toHaveLength(2);
  });

  it.each([
    ["T14", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["T19", "GET http://evil.test/ HTTP/1.1\r\nHost: api.example.test\r\n\r\n"],
    ["T11", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["nested", "CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n"],
    ["lower case", "get / HTTP/1.1\r\n\r\n"],
  ])("%s: %j goes nowhere", async (_id, bytes) => {
    const client = await openTunnel("api.example.test:80");
    client.send(bytes);
    if (!bytes.includes("\r\n\r\n")) client.socket.end();
    await client.closed;
    expect(bench.plain.received.join("")).toBe("");
  });

  it("T01: TLS on port 80 must show the name too", async () => {
    const client = await openTunnel("api.example.test:80");
    client.send(clientHello({ extensions: [serverNameExtension("evil.test")] }));
    await expectCut(client, "sni_mismatch");
  });

  it("a policy change is felt by the next request in a tunnel", async () => {
    const s3 = await bench.addSandbox("sbx-cccccccccccccccccccc");
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    const client = await bench.connect(s3);
    client.send(connectTo("api.example.test:80", s3));
    await client.until("\r\n\r\n");
    client.send(get("api.example.test"));
    await client.until("first");
    const revision = bench.control.setPolicy(s3.id, { rules: [] });
    await bench.control.enforced(s3.id, revision);
    await client.closed;
  });
});
