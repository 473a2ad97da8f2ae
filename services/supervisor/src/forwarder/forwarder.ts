import { connect, createServer, type Socket } from "node:net";
import { readHead } from "./read-head.ts";
import { MalformedHead, parseRequestHead, parseStatus, type RequestHead } from "./request-head.ts";

/** What a forwarder needs. */
export interface ForwarderOptions {
  /** 127.0.0.1 in the sandbox's network namespace; 0 takes any port. */
  readonly port: number;
  readonly egressSocket: string;
  /** The egress token, another than a refused one; waits a little for it; undefined when there is none. */
  readonly egressToken: (refused?: string) => Promise<string | undefined>;
  /** Default 512. */
  readonly maxConnections?: number;
  /** From the connection's start to the end of the head; default 15,000. */
  readonly headTimeoutMs?: number;
}

/** A running forwarder. */
export interface Forwarder {
  readonly port: number;
  /** How many requests have been passed to the egress proxy. */
  readonly requests: number;
  /** How many bytes workloads have sent and received through it. */
  readonly bytes: number;
  close(): Promise<void>;
}

const maxHeadBytes = 32 * 1024;
/** For the proxy's answer: it may be waiting for a slow origin, and gives up by itself. */
const answerTimeoutMs = 10 * 60_000;

/**
 * Carries the workload's requests from 127.0.0.1 to the egress proxy's socket and adds the sandbox's egress credential, which
 * the workload never sees. One request for each connection: the workload controls every byte, so nothing that follows a
 * request's own body is ever sent with a credential.
 */
export async function startForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const open = new Set<Socket>();
  let requests = 0;
  let closedBytes = 0;
  const bytesOf = ({ bytesRead, bytesWritten }: Socket): number => bytesRead + bytesWritten;
  const onRequest = (): void => {
    requests += 1;
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    open.add(client);
    client.on("error", () => client.destroy());
    client.once("close", () => {
      open.delete(client);
      closedBytes += bytesOf(client);
    });
    serve(client, options, onRequest).catch(() => client.destroy());
  });
  server.maxConnections = options.maxConnections ?? 512;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    get requests() {
      return requests;
    },
    get bytes() {
      return [...open].reduce((sum, client) => sum + bytesOf(client), closedBytes);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const client of open) client.destroy();
      }),
  };
}

async function serve(client: Socket, options: ForwarderOptions, onRequest: () => void): Promise<void> {
  const head = await readHead(client, { maxBytes: maxHeadBytes, timeoutMs: options.headTimeoutMs ?? 15_000 });
  if (head === "closed") return void client.destroy();
  if (head === "too-slow") return refuse(client, "408 Request Timeout", "the request head did not come in time");
  if (head === "too-large")
    return refuse(client, "431 Request Header Fields Too Large", "the request head is too large");
  let request: RequestHead;
  try {
    request = parseRequestHead(head.text);
  } catch (cause) {
    if (!(cause instanceof MalformedHead)) throw cause;
    return refuse(client, "400 Bad Request", "this is a proxy: it takes CONNECT and absolute request targets");
  }
  const token = await options.egressToken();
  if (token === undefined)
    return refuse(client, "503 Service Unavailable", "this sandbox has no egress credential now");
  const ask = async (credential: string): Promise<Socket | undefined> => {
    const socket = await connectTo(options.egressSocket, client);
    if (socket === undefined) return undefined;
    onRequest();
    socket.write(composeHead(request, credential), "latin1");
    return socket;
  };
  let proxy = await ask(token);
  if (proxy === undefined) return refuse(client, "502 Bad Gateway", "the egress proxy cannot be reached");
  if (request.kind === "forward") sendBody({ client, proxy, body: request.body, rest: head.rest });
  let answer = await readAnswer(proxy);
  if (answer?.status === 407) {
    // the key that signed the token may be revoked; what had a body is not asked again, because that is gone
    const another = await options.egressToken(token);
    if (another !== undefined && request.body === 0) {
      proxy.destroy();
      proxy = await ask(another);
      if (proxy === undefined) return refuse(client, "502 Bad Gateway", "the egress proxy cannot be reached");
      answer = await readAnswer(proxy);
    }
  }
  await relayAnswer({ client, proxy, request, rest: head.rest, answer });
}

/** A connection to the proxy that ends with the client's; undefined when it cannot be had. */
async function connectTo(egressSocket: string, client: Socket): Promise<Socket | undefined> {
  const proxy = connect({ path: egressSocket, allowHalfOpen: true });
  proxy.pause();
  client.once("close", () => proxy.destroy());
  try {
    await new Promise<void>((resolve, reject) => proxy.once("connect", resolve).once("error", reject));
  } catch {
    return undefined;
  }
  proxy.on("error", () => proxy.destroy());
  if (client.destroyed) proxy.destroy();
  return proxy;
}

/** The head of an answer, and what came behind it. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly rest: Buffer;
}

/** The proxy's next answer; undefined when what it says is none. */
async function readAnswer(proxy: Socket, already: Buffer = Buffer.alloc(0)): Promise<Answer | undefined> {
  const head = await readHead(proxy, { maxBytes: 2 * maxHeadBytes, timeoutMs: answerTimeoutMs, already });
  const status = typeof head === "string" ? undefined : parseStatus(head.text);
  return typeof head === "string" || status === undefined ? undefined : { status, text: head.text, rest: head.rest };
}

function composeHead(request: RequestHead, token: string): string {
  const connection =
    request.kind === "connect" ? [] : [`Connection: ${request.kind === "upgrade" ? "upgrade" : "close"}`];
  return `${[...request.lines, ...connection, `Proxy-Authorization: Bearer ${token}`].join("\r\n")}\r\n\r\n`;
}

/** Sends exactly the request's body. Of a chunked one only the proxy finds the end; it was told to take one request. */
function sendBody(options: { client: Socket; proxy: Socket; body: RequestHead["body"]; rest: Buffer }): void {
  const { client, proxy, body, rest } = options;
  if (body === 0) return;
  let remaining = body === "chunked" ? Number.POSITIVE_INFINITY : body;
  const take = (chunk: Buffer): void => {
    const part = remaining < chunk.length ? chunk.subarray(0, remaining) : chunk;
    remaining -= part.length;
    const flowing = part.length === 0 || proxy.write(part);
    if (remaining === 0) {
      client.off("data", take);
      client.pause();
    } else if (!flowing) {
      client.pause();
      proxy.once("drain", () => client.resume());
    }
  };
  client.on("data", take);
  client.once("end", () => {
    if (remaining > 0) proxy.end();
  });
  if (rest.length > 0) take(rest);
  if (remaining > 0) client.resume();
}

/** Passes the proxy's answer on; after one that opens a tunnel, everything in both directions. */
async function relayAnswer(options: {
  client: Socket;
  proxy: Socket;
  request: RequestHead;
  rest: Buffer;
  answer: Answer | undefined;
}): Promise<void> {
  const { client, proxy, request, rest } = options;
  let head = options.answer;
  for (;;) {
    if (head === undefined) return refuse(client, "502 Bad Gateway", "the egress proxy gave no answer");
    const { status } = head;
    const tunnel = request.kind === "connect" ? status >= 200 && status < 300 : status === 101;
    const interim = status < 200 && !tunnel;
    client.write(`${interim || tunnel ? head.text : closing(head.text)}\r\n\r\n`, "latin1");
    if (interim) {
      head = await readAnswer(proxy, head.rest);
      continue;
    }
    if (head.rest.length > 0) client.write(head.rest);
    if (tunnel) {
      if (rest.length > 0) proxy.write(rest);
      client.pipe(proxy);
    } else if (request.kind !== "forward") {
      // It was not told to close the connection behind this answer, and the client may be waiting for that.
      proxy.setTimeout(refusalIdleMs, () => proxy.destroy());
    }
    proxy.pipe(client, { end: false });
    proxy.once("end", () => (tunnel ? client.end() : lingeringEnd(client)));
    proxy.once("close", () => lingeringEnd(client));
    return;
  }
}

const refusalIdleMs = 5_000;

/** An answer's head, which says that the connection closes behind it. */
function closing(head: string): string {
  const lines = head.split("\r\n").filter((line) => !/^(connection|keep-alive|proxy-connection)\s*:/i.test(line));
  return [...lines, "Connection: close"].join("\r\n");
}

/** Ends a connection; what the client still sends is read for a moment, or the kernel would reset it before it has read the answer. */
function lingeringEnd(client: Socket, last?: string): void {
  if (client.destroyed) return;
  if (client.writable) client.end(last ?? "");
  client.removeAllListeners("data");
  client.unpipe();
  client.on("data", () => {});
  client.resume();
  setTimeout(() => client.destroy(), lingerMs).unref();
}

const lingerMs = 1_000;

function refuse(client: Socket, status: string, detail: string): void {
  const body = JSON.stringify({
    type: "about:blank",
    title: status.slice(4),
    status: Number(status.slice(0, 3)),
    detail,
  });
  lingeringEnd(
    client,
    `HTTP/1.1 ${status}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
