import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Forwarder, startForwarder } from "./forwarder.ts";

/** What the proxy's side of one connection has been sent so far. */
interface ProxyConnection {
  readonly socket: Socket;
  received(until: string): Promise<string>;
}

describe("the forwarder", () => {
  let directory: string;
  let proxy: Server;
  let forwarder: Forwarder;
  let connections: ProxyConnection[];
  let token: string | undefined;
  /** What takes the place of a refused token. */
  let next: string | undefined;
  let arrivals: () => void;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "fwd-"));
    connections = [];
    arrivals = () => {};
    token = "egress-secret";
    next = undefined;
    proxy = createServer({ allowHalfOpen: true }, (socket) => {
      let text = "";
      let wake = (): void => {};
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        wake();
      });
      const received = async (until: string): Promise<string> => {
        while (!text.includes(until)) await new Promise<void>((resolve) => (wake = resolve));
        return text;
      };
      connections.push({ socket, received });
      arrivals();
    });
    await new Promise<void>((resolve) => proxy.listen(join(directory, "egress.sock"), resolve));
    forwarder = await startForwarder({
      port: 0,
      egressSocket: join(directory, "egress.sock"),
      egressToken: async (refused) => (refused === undefined || token !== refused ? token : next),
      headTimeoutMs: 200,
      maxConnections: 4,
    });
  });

  afterEach(async () => {
    await forwarder.close();
    for (const { socket } of connections) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
    await rm(directory, { recursive: true });
  });

  const dial = async (): Promise<{ socket: Socket; text: () => string; until: (part: string) => Promise<string> }> => {
    const socket = connect({ port: forwarder.port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    let wake = (): void => {};
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      wake();
    });
    socket.on("close", () => wake());
    await once(socket, "connect");
    const until = async (part: string): Promise<string> => {
      while (!text.includes(part)) {
        if (socket.closed) throw new Error(`closed after ${JSON.stringify(text)}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
      return text;
    };
    return { socket, text: () => text, until };
  };
  const upstream = async (index = 0): Promise<ProxyConnection> => {
    for (;;) {
      const connection = connections[index];
      if (connection !== undefined) return connection;
      await new Promise<void>((resolve) => (arrivals = resolve));
    }
  };

  it("D-22: adds the credential that the workload never has, and strips what it sends in its place", async () => {
    const client = await dial();
    client.socket.write(
      "GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: Bearer forged\r\nProxy-Connection: keep-alive\r\nConnection: x\r\nX-JWT-Payload: e30\r\nX-Container-Id: other\r\nX-Mine: 1\r\n\r\n",
    );
    const head = await (await upstream()).received("\r\n\r\n");
    expect(head).toBe(
      "GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX-Mine: 1\r\nConnection: close\r\nProxy-Authorization: Bearer egress-secret\r\n\r\n",
    );
  });

  it("passes an answer on, says that the connection closes, and closes it", async () => {
    const client = await dial();
    client.socket.write("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n");
    const { socket, received } = await upstream();
    await received("\r\n\r\n");
    socket.end("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
    await once(client.socket, "end");
    expect(client.text()).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  });

  it("passes interim answers on before the last one", async () => {
    const client = await dial();
    client.socket.write(
      "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    const { socket, received } = await upstream();
    await received("\r\n\r\n");
    socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    await client.until("100 Continue\r\n\r\n");
    client.socket.write("ok");
    expect(await received("ok")).toMatch(/\r\n\r\nok$/);
    socket.end("HTTP/1.1 204 No Content\r\n\r\n");
    await once(client.socket, "end");
    expect(client.text()).toContain("204 No Content");
  });

  it("sends exactly the request's own body: a second request never gets out with the credential", async () => {
    const client = await dial();
    client.socket.write(
      "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nbodyGET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    );
    const { socket, received } = await upstream();
    await received("body");
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await once(client.socket, "end");
    expect(await received("body")).toMatch(/\r\n\r\nbody$/);
    expect(connections).toHaveLength(1);
  });

  it("relays a CONNECT tunnel in both directions after a 2xx", async () => {
    const client = await dial();
    client.socket.write("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nearly");
    const { socket, received } = await upstream();
    expect(await received("\r\n\r\n")).toBe(
      "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Authorization: Bearer egress-secret\r\n\r\n",
    );
    socket.write("HTTP/1.1 200 Connection established\r\n\r\nhello");
    await client.until("hello");
    client.socket.write(" and more");
    expect(await received("early and more")).toContain("early and more");
    socket.end("bye");
    await client.until("bye");
    client.socket.end();
  });

  it("sends nothing of a tunnel that the proxy refuses, and passes the refusal on", async () => {
    const client = await dial();
    client.socket.write(
      "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nGET http://evil.example/ HTTP/1.1\r\n\r\n",
    );
    const { socket, received } = await upstream();
    const head = await received("\r\n\r\n");
    socket.end("HTTP/1.1 403 Forbidden\r\nx-deny-reason: host_not_allowed\r\nContent-Length: 2\r\n\r\nno");
    await once(client.socket, "end");
    expect(client.text()).toContain("x-deny-reason: host_not_allowed");
    expect(await received("\r\n\r\n")).toBe(head);
  });

  it("relays a WebSocket after 101", async () => {
    const client = await dial();
    client.socket.write(
      "GET http://example.com/ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    const { socket, received } = await upstream();
    expect(await received("\r\n\r\n")).toContain("Upgrade: websocket\r\nConnection: upgrade\r\n");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    await client.until("\r\n\r\n");
    client.socket.write("frame");
    await received("frame");
  });

  it("carries a large body both ways without holding it", async () => {
    const client = await dial();
    const size = 8 * 1024 * 1024;
    client.socket.write(`POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: ${size}\r\n\r\n`);
    client.socket.write(Buffer.alloc(size, "x"));
    const { socket, received } = await upstream();
    await received("x".repeat(1024));
    let seen = (await received("\r\n\r\n")).split("\r\n\r\n")[1]?.length ?? 0;
    await new Promise<void>((resolve) => {
      if (seen >= size) return resolve();
      socket.on("data", (chunk) => {
        seen += chunk.length;
        if (seen >= size) resolve();
      });
    });
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    socket.end(Buffer.alloc(size, "y"));
    await once(client.socket, "end");
    expect(client.text().length).toBeGreaterThan(size);
  });

  it.each([
    ["a request without a host in its target", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 400],
    ["a bare line feed in a header", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\nX: y\r\n\r\n", 400],
    ["a folded header", "GET http://example.com/ HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400],
    ["a blank before the colon", "GET http://example.com/ HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400],
    ["two lengths", "POST http://example.com/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400],
    [
      "a length and chunks",
      "POST http://example.com/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
    ],
    ["another transfer coding", "POST http://example.com/ HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 400],
    ["a NUL", "GET http://example.com/ HTTP/1.1\r\nX: a\0b\r\n\r\n", 400],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["a head that is too large", `GET http://example.com/ HTTP/1.1\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, 431],
    ["a head that does not end", "GET http://example.com/ HTTP/1.1\r\n", 408],
  ])("refuses %s and never calls the proxy", async (_, request, status) => {
    const client = await dial();
    client.socket.write(request, "latin1");
    await client.until("\r\n\r\n");
    expect(client.text()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(connections).toHaveLength(0);
  });

  it.each([
    ["CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nhello"],
    ["GET", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ])("G-08 asks again with the next token when the proxy does not take this one: %s", async (_, text) => {
    next = "next-secret";
    const client = await dial();
    client.socket.write(text);
    const first = await upstream();
    await first.received("\r\n\r\n");
    first.socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno");
    const second = await upstream(1);
    expect(await second.received("\r\n\r\n")).toContain("Bearer next-secret\r\n");
    second.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await once(client.socket, "end");
    expect(client.text()).toMatch(/^HTTP\/1.1 200 OK/);
    expect(client.text()).not.toContain("407");
  });

  it("passes the refusal on where there is no other token, and never sends a body twice", async () => {
    const without = await dial();
    without.socket.write("GET http://example.com/ HTTP/1.1\r\n\r\n");
    const first = await upstream();
    await first.received("\r\n\r\n");
    first.socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    expect(await without.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 407 /);

    next = "next-secret";
    const withBody = await dial();
    withBody.socket.write("POST http://example.com/ HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    const second = await upstream(1);
    await second.received("\r\n\r\nhi");
    second.socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    expect(await withBody.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 407 /);
    expect(connections).toHaveLength(2);
  });

  it("answers 503 without a credential and 502 without a proxy", async () => {
    token = undefined;
    const first = await dial();
    first.socket.write("GET http://example.com/ HTTP/1.1\r\n\r\n");
    expect(await first.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 503 /);
    token = "again";
    await new Promise((resolve) => proxy.close(resolve));
    const second = await dial();
    second.socket.write("GET http://example.com/ HTTP/1.1\r\n\r\n");
    expect(await second.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 502 /);
  });

  it("answers 502 when the proxy says nothing that HTTP knows", async () => {
    const client = await dial();
    client.socket.write("GET http://example.com/ HTTP/1.1\r\n\r\n");
    const { socket, received } = await upstream();
    await received("\r\n\r\n");
    socket.end("garbage\r\n\r\n");
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1.1 502 /);
  });

  it("takes no more connections than its bound", async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, dial));
    const extra = connect({ port: forwarder.port, host: "127.0.0.1" });
    extra.on("error", () => {});
    await once(extra, "close");
    for (const { socket } of clients) socket.destroy();
  });
});
