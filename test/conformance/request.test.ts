import { createHash } from "node:crypto";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { echoRequest } from "./origin-server.ts";
import { basic, ProxyBench } from "./proxy-bench.ts";
import { expectReply, expectVerdict } from "./verdict.ts";

const bench = new ProxyBench();
afterAll(() => bench.stop());
await bench.start({ headTimeoutMs: 400 });
const s1 = await bench.addSandbox("sbx-aaaaaaaaaaaaaaaaaaaa");
const s2 = await bench.addSandbox("sbx-bbbbbbbbbbbbbbbbbbbb");
beforeEach(() => {
  bench.forget();
  bench.plain.behaviour = echoRequest;
});

/** A request from its parts: `{auth}` is the sandbox's credential line. */
const fill = (text: string) => text.replaceAll("{auth}", basic(s1));
const get = (target: string, ...lines: string[]) =>
  fill(
    [
      "GET ",
      target,
      " HTTP/1.1\r\nHost: api.example.test\r\n{auth}\r\n",
      ...lines.map((line) => `${line}\r\n`),
      "\r\n",
    ].join(""),
  );
const api = "http://api.example.test/";

describe("the form of a request", () => {
  it.each([
    ["C01", get(api), "ALLOW"],
    ["C02", fill(`GET ${api} HTTP/1.1\r\nHost: evil.test\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C02", fill(`GET ${api} HTTP/1.1\r\nHost: api.example.test:81\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C02", fill(`GET ${api} HTTP/1.1\r\nHost: API.example.test.:80\r\n{auth}\r\n\r\n`), "ALLOW"],
    [
      "C03",
      fill(`GET ${api} HTTP/1.1\r\nHost: api.example.test\r\nHost: api.example.test\r\n{auth}\r\n\r\n`),
      "E400 noDNS",
    ],
    ["C04", fill(`GET ${api} HTTP/1.1\r\nHost:\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C04", fill(`GET ${api} HTTP/1.1\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C04", fill("CONNECT api.example.test:443 HTTP/1.1\r\n{auth}\r\n\r\n"), "E400 noDNS"],
    ["C04", fill("CONNECT api.example.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n{auth}\r\n\r\n"), "E400 noDNS"],
    ["C04", fill("CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test\r\n{auth}\r\n\r\n"), "ALLOW"],
    ["C05", get("/x"), "E400 noDNS"],
    ["C05", get("*"), "E400 noDNS"],
    ["C07", get("http://api.example.test@evil.test/"), "E400 noDNS"],
    ["C07", get("http://user:pw@api.example.test/"), "E400 noDNS"],
    ["C08", get("http://evil.test#@api.example.test/"), "E400 noDNS"],
    ["C08", get("http://api.example.test/#x"), "E400 noDNS"],
    ["C10", get("https://api.example.test/"), "E400 noDNS"],
    ["C11", get("ftp://api.example.test/"), "E400 noDNS"],
    ["C11", get("ws://api.example.test/"), "E400 noDNS"],
    ["C11", get("gopher://api.example.test/"), "E400 noDNS"],
    ["C11", get("file:///etc/passwd"), "E400 noDNS"],
    ["C11", get("//api.example.test/"), "E400 noDNS"],
    ["C13", get("http://api.example.test"), "ALLOW"],
    ["C13", get("HTTP://API.example.test"), "ALLOW"],
    ["C16", fill(`GET ${api} HTTP/2.0\r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E505 noDNS"],
    ["C16", fill(`GET ${api} HTTP/1.2\r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E505 noDNS"],
    ["C16", fill(`GET ${api} JUNK/9.9\r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C16", fill(`GET ${api}\r\n\r\n`), "E400 noDNS"],
    ["C16", fill(`GET  ${api} HTTP/1.1\r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C16", fill(`GET ${api} HTTP/1.1 \r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C16", fill(`\r\nGET ${api} HTTP/1.1\r\nHost: api.example.test\r\n{auth}\r\n\r\n`), "E400 noDNS"],
    ["C17", fill(`GET ${api} HTTP/1.0\r\n{auth}\r\n\r\n`), "ALLOW"],
    ["C26", fill(`GET ${api} HTTP/1.1\nHost: api.example.test\n{auth}\n\n`), "E400 noDNS"],
    ["C26", get(api, "X: a\rb"), "E400 noDNS"],
    ["C26", get(api, "X: a\0b"), "E400 noDNS"],
    ["C26", get(api, "X: a", " folded"), "E400 noDNS"],
    ["C26", get(api, "X : a"), "E400 noDNS"],
    ["C26", get(api, "X@: a"), "E400 noDNS"],
    ["C26", get(api, ": a"), "E400 noDNS"],
    ["C26", get(api, "no colon"), "E400 noDNS"],
    ["C28", get(api, "Connection: host"), "E400 noDNS"],
    ["C28", get(api, "Connection: close, Content-Length"), "E400 noDNS"],
    ["C28", get(api, "Connection: authorization"), "E400 noDNS"],
    ["C40", get(api, "Max-Forwards: 0").replace("GET", "TRACE"), "E400 noDNS"],
    ["C43", get(api, "Expect: foo"), "E417 noDNS"],
    ["C44", get(api, `X: ${"a".repeat(17_000)}`), "E431 noDNS"],
    ["C44", get(api, ...Array.from({ length: 2001 }, () => "a:")), "E431 noDNS"],
    ["C44", get(api, `Cookie: ${"a".repeat(70_000)}`), "E431 noDNS"],
    ["C53", get(api).replace("GET", "GET\0"), "E400 noDNS"],
    ["C53", get(api).replace("GET", "G ET"), "E400 noDNS"],
    ["C53", get(api).replace("GET", "get"), "E400 noDNS"],
    ["C53", get(api).replace("GET", "FOO"), "E400 noDNS"],
    ["C53", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "E400 noDNS"],
    ["C53", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "E400 noDNS"],
    ["tab in target", get("http://api.example.test/\t"), "E400 noDNS"],
    ["backslash", get("http://api.example.test\\@evil.test/"), "E400 noDNS"],
    ["non-ASCII", get("http://api.example.test/\xe9"), "E400 noDNS"],
  ])("%s: %j is %s", async (_id, bytes, verdict) => {
    await expectVerdict(bench, s1, bytes, verdict);
  });

  it("C14: OPTIONS without a path asks the origin for *", async () => {
    const reply = await expectVerdict(bench, s1, get("http://api.example.test").replace("GET", "OPTIONS"), "ALLOW");
    expect(reply.body).toMatch(/^OPTIONS \* HTTP\/1\.1\r\n/);
  });

  it("C40: OPTIONS with Max-Forwards of 0 is answered here", async () => {
    const client = await bench.connect(s1);
    client.send(get(api, "Max-Forwards: 0").replace("GET", "OPTIONS"));
    expect((await client.reply()).status).toBe(200);
    expect(bench.dials).toEqual([]);
  });

  it("C41: a request that was here before is not sent round again", async () => {
    const reply = await expectVerdict(bench, s1, get(api), "ALLOW");
    const via = /^via: (.+)$/m.exec(reply.body)?.[1]?.trim();
    expect(via).toMatch(/^1\.1 sandgate-/);
    bench.forget();
    await expectVerdict(bench, s1, get(api, `Via: 1.0 other, ${via}`), "D(loop_detected) noDNS");
  });

  it("C46: a head that trickles in is answered 408 in time", async () => {
    const client = await bench.connect(s1);
    client.send("GET http://api.exa");
    await expectReply(bench, s1, await client.reply(), "E408 noDNS");
    await client.closed;
  });
});

describe("request smuggling", () => {
  const post = (...lines: string[]) =>
    `${get(api, ...lines).replace("GET", "POST")}0\r\n\r\nGET http://evil.test/ HTTP/1.1\r\n\r\n`;

  it.each([
    ["C19", post("Content-Length: 4", "Transfer-Encoding: chunked")],
    ["C19", post("Transfer-Encoding: chunked", "Content-Length: 4")],
    ["C19", post("Content-Length: 4", "Content-Length: 4")],
    ["C19", post("Content-Length: 4", "Content-Length: 5")],
    ["C19", post("Content-Length: 4, 4")],
    ["C19", post("Content-Length: +4")],
    ["C19", post("Content-Length: 0x4")],
    ["C19", post("Content-Length: -1")],
    ["C19", post("Content-Length: 12345678901234567890")],
    ["C19", post("Content-Length:")],
    ["C20", post("Transfer-Encoding: xchunked")],
    ["C20", post("Transfer-Encoding: chunked, gzip")],
    ["C20", post("Transfer-Encoding: gzip, chunked")],
    ["C20", post("Transfer-Encoding: chunked,")],
    ["C20", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
    ["C20", post("Transfer-Encoding: identity")],
    ["C20", post("Transfer-Encoding: \x0bchunked")],
    ["C22", post("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0")],
    ["CONNECT", get("api.example.test:443", "Content-Length: 4").replace("GET", "CONNECT")],
    ["CONNECT", get("api.example.test:443", "Transfer-Encoding: chunked").replace("GET", "CONNECT")],
  ])("%s: %j is refused before anything is sent", async (_id, bytes) => {
    await expectVerdict(bench, s1, bytes, "E400 noDNS");
  });

  it("C23: a body stays a body, and the next request is read after it", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    const client = await bench.connect(s1);
    const hidden = "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    client.send(`${get(api, `Content-Length: ${hidden.length}`)}${hidden}`);
    await client.until("ok");
    client.clear();
    client.send(get("http://rest.example.test/").replace("Host: api", "Host: rest"));
    await client.until("ok");
    expect(bench.plain.received[0]?.endsWith(hidden)).toBe(true);
    expect(bench.dials).toHaveLength(2);
    client.socket.destroy();
  });

  it.each([
    ["a size that is none", "xx\r\n"],
    ["a sign", "+5\r\nhello\r\n0\r\n\r\n"],
    ["a bare line feed", "5\nhello\r\n0\r\n\r\n"],
    ["a chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n"],
    ["a size too long", "0000000005\r\nhello\r\n0\r\n\r\n"],
  ])("C20: %s ends the request without a terminator for the origin", async (_what, chunks) => {
    const client = await bench.connect(s1);
    bench.plain.behaviour = () => undefined;
    client.send(`${get(api, "Transfer-Encoding: chunked").replace("GET", "POST")}${chunks}`);
    const reply = await client.reply();
    expect(reply.status).toBe(400);
    await client.closed;
    expect(bench.plain.received.join("")).not.toContain("0\r\n\r\n");
  });

  it("C25: chunks are framed anew: trailers and extensions are dropped", async () => {
    bench.plain.behaviour = () => undefined;
    const client = await bench.connect(s1);
    client.send(
      `${get(api, "Transfer-Encoding: chunked", "Trailer: Authorization").replace("GET", "POST")}` +
        "5;name=value\r\nhello\r\n0\r\nHost: evil.test\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n",
    );
    await expect.poll(() => bench.plain.received.join("")).toMatch(/\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
    expect(bench.plain.received.join("")).not.toMatch(/evil|trailer|authorization/i);
    client.socket.destroy();
  });

  it("C34: a pipelined request is decided by itself", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    const client = await bench.connect(s1);
    client.send(get(api) + get("http://evil.test/").replace("Host: api.example.test", "Host: evil.test"));
    await client.closed;
    expect(client.text).toMatch(
      /^HTTP\/1\.1 200 [\s\S]*first[\s\S]*HTTP\/1\.1 403 [\s\S]*x-deny-reason: host_not_allowed/,
    );
    expect(bench.dials).toHaveLength(1);
  });

  it("C35: each request on a connection shows its own credential", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    const client = await bench.connect(s1);
    client.send(get(api) + get(api).replace(basic(s1), basic(s2)));
    await client.closed;
    expect(client.text).toMatch(/first[\s\S]*HTTP\/1\.1 403 [\s\S]*x-deny-reason: binding_mismatch/);
  });
});

describe("what passes on", () => {
  it("C29, D-53, D-56: neither the credential nor what belongs to this hop, nor forged claims", async () => {
    const reply = await expectVerdict(
      bench,
      s1,
      get(
        `${api}path?query=1`,
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: x",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: upgrade, http2-settings, x-hop, keep-alive",
        "X-Hop: gone",
        'x-jwt-payload: {"allowed_hosts":"evil.test"}',
        "x-deny-reason: none",
        "x-container-id: other",
        "Authorization: Bearer the-origins-own",
        "X-Kept: yes",
      ),
      "ALLOW",
    );
    expect(reply.body).toMatch(/^GET \/path\?query=1 HTTP\/1\.1\r\nhost: api\.example\.test\r\n/);
    expect(reply.body).toMatch(/\r\nX-Kept: yes\r\n/);
    expect(reply.body).toMatch(/\r\nAuthorization: Bearer the-origins-own\r\n/);
    expect(reply.body).not.toMatch(/proxy-|keep-alive|^te:|trailer|upgrade|http2|x-hop|x-jwt|x-deny|x-container/im);
  });

  it("C31, C32: neither a verdict nor a challenge that an origin forges", async () => {
    bench.plain.behaviour = (socket) =>
      socket.end(
        "HTTP/1.1 200 OK\r\nx-deny-reason: host_not_allowed\r\nProxy-Authenticate: Basic\r\nx-proxy-error: x\r\ncontent-length: 0\r\n\r\n",
      );
    const reply = await expectVerdict(bench, s1, get(api), "ALLOW");
    expect([...reply.headers.keys()].filter((name) => /^x-|^proxy-/.test(name))).toEqual([]);
    bench.forget();
    bench.plain.behaviour = (socket) =>
      socket.end("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n");
    const client = await bench.connect(s1);
    client.send(get(api));
    const denied = await client.reply();
    expect([denied.status, denied.headers.get("x-proxy-error")]).toEqual([502, "upstream_malformed"]);
  });

  it.each([
    ["C50", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"],
    ["status line", "HTTP/1.1 OK\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"],
    ["length and chunks", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["bare line feed", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"],
    ["nothing", ""],
  ])("%s: an answer that cannot be trusted becomes 502: %j", async (_id, answer) => {
    bench.plain.behaviour = (socket) => socket.end(answer);
    const client = await bench.connect(s1);
    client.send(get(api));
    expect((await client.reply()).status).toBe(502);
    await client.closed;
  });

  it.each([
    ["length", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"],
    ["chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\npart"],
    [
      "malformed chunks",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
    ["chunks, between two", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n"],
  ])("C52: a body that the origin cuts (%s) is cut for the client too", async (_what, answer) => {
    bench.plain.behaviour = (socket) => socket.end(answer);
    const client = await bench.connect(s1);
    client.send(get(api));
    await client.closed;
    expect(client.text).not.toMatch(/\r\n0\r\n/);
    expect(client.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it("chunks of an answer arrive whole, and the connection goes on", async () => {
    bench.plain.behaviour = (socket) =>
      socket.end(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx: y\r\n\r\n",
      );
    const client = await bench.connect(s1);
    client.send(get(api));
    expect(await client.until(/0\r\n\r\n$/)).toMatch(/\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n$/);
    client.clear();
    client.send(get(api));
    await client.until(/0\r\n\r\n$/);
    client.socket.destroy();
  });

  it("HEAD and 304 have no body, whatever their length says", async () => {
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    const client = await bench.connect(s1);
    client.send(get(api).replace("GET", "HEAD"));
    await client.until("\r\n\r\n");
    client.clear();
    bench.plain.behaviour = (socket) => socket.end("HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n");
    client.send(get(api));
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 304 /);
    client.socket.destroy();
  });

  it("100-continue is the origin's to give", async () => {
    bench.plain.behaviour = (socket, request) => {
      expect(request).toMatch(/expect: 100-continue/i);
      socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      socket.once("data", (body: Buffer) =>
        socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n${body.toString()}`),
      );
    };
    const client = await bench.connect(s1);
    client.send(get(api, "Expect: 100-continue", "Content-Length: 5").replace("GET", "PUT"));
    await client.until(/100 Continue[\s\S]*\r\n\r\n/);
    client.send("hello");
    await client.until(/200 OK[\s\S]*hello$/);
    client.socket.destroy();
  });

  it("C47: a WebSocket passes, both ways", async () => {
    bench.plain.behaviour = (socket) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello",
      );
      socket.on("data", (bytes: Buffer) => socket.write(`got ${bytes.toString("latin1")}`));
    };
    const client = await bench.connect(s1);
    client.send(`${get(api, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")}early`);
    expect(await client.until("got early")).toMatch(/^HTTP\/1\.1 101 [\s\S]*upgrade: websocket[\s\S]*hello/);
    client.send("late");
    await client.until("got late");
    client.socket.destroy();
  });

  it("R08: a large upload arrives byte for byte, and a large download too", async () => {
    const part = Buffer.alloc(1 << 20, "0123456789abcdef");
    const parts = 64;
    bench.plain.behaviour = (socket, head) => {
      const hash = createHash("sha256");
      let length = head.length - head.indexOf("\r\n\r\n") - 4;
      hash.update(head.slice(head.indexOf("\r\n\r\n") + 4), "latin1");
      socket.removeAllListeners("data");
      socket.on("data", (bytes: Buffer) => {
        hash.update(bytes);
        length += bytes.length;
        if (length < part.length * parts) return;
        socket.write(
          `HTTP/1.1 200 OK\r\nx-sum: ${hash.digest("hex")}\r\ncontent-length: ${part.length * parts}\r\n\r\n`,
        );
        const send = (left: number): void => {
          if (left === 0) return void socket.end();
          socket.write(part, () => send(left - 1));
        };
        send(parts);
      });
    };
    const expected = createHash("sha256");
    for (let index = 0; index < parts; index++) expected.update(part);
    const sum = expected.digest("hex");
    const client = await bench.connect(s1);
    client.send(get(api, `Content-Length: ${part.length * parts}`).replace("GET", "POST"));
    const received = createHash("sha256");
    let head = "";
    let length = 0;
    client.socket.removeAllListeners("data");
    const done = new Promise<void>((resolve) => {
      client.socket.on("data", (bytes: Buffer) => {
        let content = bytes;
        if (!head.includes("\r\n\r\n")) {
          head += bytes.toString("latin1");
          const end = head.indexOf("\r\n\r\n");
          if (end < 0) return;
          content = Buffer.from(head.slice(end + 4), "latin1");
          head = head.slice(0, end + 4);
        }
        received.update(content);
        length += content.length;
        if (length === part.length * parts) resolve();
      });
    });
    for (let index = 0; index < parts; index++) {
      if (!client.socket.write(part))
        await new Promise<void>((resolve) => client.socket.once("drain", () => resolve()));
    }
    await done;
    expect(head).toContain(`x-sum: ${sum}`);
    expect(received.digest("hex")).toBe(sum);
    client.socket.destroy();
  });
});
