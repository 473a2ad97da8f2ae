import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { InjectedField } from "../credentials/credential-injector.ts";
import { withoutEcho } from "../credentials/without-echo.ts";
import { Refusal } from "../decision/refusal.ts";
import type { BodyFraming } from "../http/body-framing.ts";
import { readBody } from "../http/body-reader.ts";
import { HeadScanner } from "../http/head-scanner.ts";
import type { HeaderField } from "../http/header-fields.ts";
import type { ProxyRequest } from "../http/request.ts";
import { type OriginResponse, parseResponse } from "../http/response.ts";
import type { Limits } from "../limits.ts";
import type { Exchange } from "./exchange.ts";
import { ConnectionLost, SocketReader, writeTo } from "./socket-reader.ts";
import { relay } from "./tunnel.ts";

const maximumInterimAnswers = 16;

interface Forwarding {
  readonly socket: Socket;
  readonly reader: SocketReader;
  readonly exchange: Exchange;
  readonly request: ProxyRequest;
  readonly path: string;
  /** Of OPTIONS with Max-Forwards, this hop counted. */
  readonly forwards: number | undefined;
  /** The field in which a secret takes the placeholder's place. */
  readonly injected: InjectedField | undefined;
  /** A connection of this request's own. */
  readonly upstream: Socket;
  readonly limits: Limits;
  readonly viaName: string;
}

/**
 * Sends a request to its origin and the answer back, each written anew from what was read strictly: both heads without the
 * fields of the other hop, bodies framed by us. Answers whether the client's connection can carry another request. Throws a
 * Refusal while the client can still be answered; after that a fault cuts the connection, so that no body seems complete.
 */
export async function forwardRequest(forwarding: Forwarding): Promise<boolean> {
  const { socket, reader, exchange, request, upstream, limits } = forwarding;
  const origin = new SocketReader(upstream);
  const destroyUpstream = () => upstream.destroy();
  let idle = false;
  let answering = false;
  upstream.setTimeout(limits.idleTimeoutMs, () => {
    idle = true;
    destroyUpstream();
  });
  const destroyClient = () => socket.destroy();
  exchange.signal.addEventListener("abort", destroyUpstream, { once: true });
  const sent = sendRequest(forwarding);
  try {
    const response = await readAnswer(forwarding, origin, sent);
    answering = true;
    if (response.status === 101) {
      await writeTo(socket, writeAnswerHead(forwarding, response, "upgrade"));
      origin.release();
      reader.release();
      await relay(socket, upstream, { idleTimeoutMs: limits.idleTimeoutMs, signal: exchange.signal });
      return false;
    }
    socket.setTimeout(limits.idleTimeoutMs, destroyClient); // also a client that does not read
    const reusable = request.keepAlive && response.framing.kind !== "until-close";
    await writeTo(socket, writeAnswerHead(forwarding, response, reusable ? "keep-alive" : "close"));
    const content = readAnswerBody(forwarding, origin, response.framing);
    await copyBody(content, socket, chunksFor(request, response.framing));
    return reusable && (await Promise.race([sent, "sending" as const])) === "sent";
  } catch (fault) {
    if (answering) throw new ConnectionLost("the answer was cut", { cause: fault });
    if (idle) throw Refusal.fault(504, "upstream_timeout", "the origin did not answer in time");
    throw fault;
  } finally {
    socket.setTimeout(0);
    socket.off("timeout", destroyClient);
    exchange.signal.removeEventListener("abort", destroyUpstream);
    destroyUpstream();
  }
}

/** Sends head and body. Never rejects: what a fault of the body means is the answer's matter. */
async function sendRequest(forwarding: Forwarding): Promise<"sent" | Refusal | "failed"> {
  const { request, reader, upstream } = forwarding;
  try {
    await writeTo(upstream, writeRequestHead(forwarding));
    await copyBody(readBody(reader, request.framing), upstream, request.framing.kind === "chunked");
    return "sent";
  } catch (fault) {
    upstream.destroy(); // the origin sees a body that is cut, never one that seems whole
    return fault instanceof Refusal ? fault : "failed";
  }
}

/** The final answer; those before it are passed on. Throws a Refusal where there is none, or none that can be read. */
async function readAnswer(
  forwarding: Forwarding,
  origin: SocketReader,
  sent: Promise<"sent" | Refusal | "failed">,
): Promise<OriginResponse> {
  const { socket, request, limits } = forwarding;
  for (let interim = 0; interim <= maximumInterimAnswers; interim++) {
    const response = await readAnswerHead(origin, limits, request.method, sent);
    if (response.status === 407) throw badAnswer("the origin asks for proxy credentials");
    if (response.status === 101) {
      const upgrade = response.fields.single("upgrade")?.toLowerCase();
      if (request.webSocket && upgrade === "websocket") return response;
      throw badAnswer("the origin switches to a protocol that was not asked for");
    }
    if (response.status >= 200) return response;
    if (request.version === "1.1") await writeTo(socket, writeAnswerHead(forwarding, response, undefined));
  }
  throw badAnswer("the origin sends too many interim answers");
}

async function readAnswerHead(
  origin: SocketReader,
  limits: Limits,
  method: string,
  sent: Promise<"sent" | Refusal | "failed">,
): Promise<OriginResponse> {
  const scanner = new HeadScanner({ maximumBytes: limits.headBytes * 2, maximumFields: limits.headFields });
  try {
    for (let bytes = await origin.read(); bytes !== undefined; bytes = await origin.read()) {
      const end = scanner.push(bytes);
      if (end === undefined) continue;
      origin.unread(bytes.subarray(end));
      return parseResponse(scanner.lines(), method);
    }
  } catch (fault) {
    if (fault instanceof Refusal) throw badAnswer(`the origin's answer cannot be read: ${fault.message}`);
    const sending = await Promise.race([sent, "sending" as const]);
    if (sending instanceof Refusal) throw sending;
    throw Refusal.fault(502, "upstream_failed", "the origin closed the connection", { cause: fault });
  }
  const sending = await Promise.race([sent, "sending" as const]);
  if (sending instanceof Refusal) throw sending;
  throw Refusal.fault(502, "upstream_failed", "the origin closed the connection without an answer");
}

function badAnswer(message: string): Refusal {
  return Refusal.fault(502, "upstream_malformed", message);
}

function writeRequestHead({ request, path, forwards, injected, upstream, viaName }: Forwarding): string {
  const { host, port } = request.destination;
  const name = host.kind === "address" && host.text.includes(":") ? `[${host.text}]` : host.text;
  const usualPort = upstream instanceof TLSSocket ? 443 : 80;
  const rewritten: ReadonlySet<string> = new Set([
    "host",
    ...(forwards === undefined ? [] : ["max-forwards"]),
    ...(request.version === "1.0" ? ["expect"] : []),
    ...(injected === undefined ? [] : [injected.key, "accept-encoding"]),
  ]);
  return [
    `${request.method} ${path} HTTP/1.1`,
    `host: ${port === usualPort ? name : `${name}:${port}`}`,
    ...fieldLines(request.fields.endToEnd().filter(({ key }) => !rewritten.has(key))),
    // an answer that is not encoded can be looked through for the secret
    ...(injected === undefined ? [] : [`${injected.key}: ${injected.reveal()}`, "accept-encoding: identity"]),
    ...(forwards === undefined ? [] : [`max-forwards: ${forwards - 1}`]),
    `via: 1.1 ${viaName}`,
    ...framingLines(request.framing, request.framing.kind === "chunked", request.fields.single("content-length")),
    ...(request.webSocket ? ["connection: upgrade", "upgrade: websocket"] : ["connection: close"]),
    "\r\n",
  ].join("\r\n");
}

function writeAnswerHead(
  { request, injected, viaName }: Forwarding,
  response: OriginResponse,
  connection: "keep-alive" | "close" | "upgrade" | undefined,
): string {
  const length =
    response.status >= 200 && response.status !== 204 ? response.fields.single("content-length") : undefined;
  const secrets = injected?.secrets() ?? [];
  const echoes = (text: string): boolean => secrets.some((secret) => text.includes(secret));
  return [
    `HTTP/1.1 ${response.status} ${echoes(response.phrase) ? "" : response.phrase}`,
    ...fieldLines(response.fields.endToEnd().filter(({ name, value }) => !echoes(name) && !echoes(value))),
    `via: 1.1 ${viaName}`,
    ...framingLines(response.framing, chunksFor(request, response.framing), length),
    ...(connection === undefined ? [] : [`connection: ${connection}`]),
    ...(connection === "upgrade" ? ["upgrade: websocket"] : []),
    "\r\n",
  ].join("\r\n");
}

function fieldLines(fields: readonly HeaderField[]): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`);
}

function framingLines(framing: BodyFraming, chunked: boolean, length: string | undefined): string[] {
  if (chunked) return ["transfer-encoding: chunked"];
  if (framing.kind === "length") return [`content-length: ${framing.bytes}`];
  return length === undefined ? [] : [`content-length: ${length}`];
}

/** Chunks go on as chunks, except to HTTP/1.0, whose answer ends where the connection does. */
function chunksFor(request: ProxyRequest, framing: BodyFraming): boolean {
  return framing.kind === "chunked" && request.version === "1.1";
}

/** The answer's body; it ends the exchange before a secret comes back in it. */
function readAnswerBody(
  { injected, exchange }: Forwarding,
  origin: SocketReader,
  framing: BodyFraming,
): AsyncIterable<Buffer> {
  const content = readBody(origin, framing);
  if (injected === undefined) return content;
  const secrets = injected.secrets().map((secret) => Buffer.from(secret, "latin1"));
  return withoutEcho(content, secrets, () => exchange.cut("credential_echoed"));
}

async function copyBody(body: AsyncIterable<Buffer>, to: Socket, chunked: boolean): Promise<void> {
  for await (const content of body) {
    if (!chunked) {
      await writeTo(to, content);
      continue;
    }
    to.cork();
    to.write(`${content.length.toString(16)}\r\n`, "latin1");
    to.write(content);
    process.nextTick(() => to.uncork());
    await writeTo(to, "\r\n");
  }
  if (chunked) await writeTo(to, "0\r\n\r\n");
}
