import type { Socket } from "node:net";
import type { Authority, Host } from "@sandgate/policy";
import { parseHostName } from "@sandgate/policy";
import type { CredentialInjector, InjectedField } from "../credentials/credential-injector.ts";
import type { Dialer, Dialled } from "../decision/dialer.ts";
import type { EgressIdentity, Gatekeeper, Permission } from "../decision/gatekeeper.ts";
import { startOriginTls } from "../decision/origin-tls.ts";
import { Refusal } from "../decision/refusal.ts";
import { HeadScanner } from "../http/head-scanner.ts";
import { type ProxyRequest, parseRequest } from "../http/request.ts";
import type { Limits } from "../limits.ts";
import { maximumHelloBytes, readClientHello } from "../tls/client-hello.ts";
import { type DecisionPages, writeDecisionPage } from "./decision-pages.ts";
import type { Exchange } from "./exchange.ts";
import { forwardRequest } from "./forward-request.ts";
import { decisionsHost, writeRefusal } from "./refusal-reply.ts";
import { isConnectionFault, SocketReader, writeTo } from "./socket-reader.ts";
import { relay } from "./tunnel.ts";

/** What a connection needs of the proxy and of the sandbox's channel. */
export interface ConnectionContext {
  readonly sandboxId: string;
  readonly gatekeeper: Gatekeeper;
  readonly dialer: Dialer;
  readonly credentials: CredentialInjector;
  /** PEM of the authorities of origins that the proxy itself speaks TLS to; undefined: those that Node brings. */
  readonly originAuthorities: readonly string[] | undefined;
  readonly pages: DecisionPages;
  readonly limits: Limits;
  /** Names this proxy in Via, so that a request that comes back to it is known. */
  readonly viaName: string;
  /** Begins an exchange and keeps track of it until `end`. */
  begin(): Exchange;
  end(exchange: Exchange): void;
  /** Cuts an exchange that the sandbox's policy, as it is now, does not allow. */
  recheck(exchange: Exchange): void;
  /** Ties an exchange to the credentials it rests on: it is cut when they are revoked. Answers how to untie it. */
  bind(exchange: Exchange, claims: EgressIdentity): () => void;
  /** Told of every token that did not verify; throws a Refusal when there are too many. */
  countFailedToken(): void;
  /** Throws a Refusal while too many tokens have failed. */
  requireTokenBudget(): void;
  /** Told of what no Refusal stands for. */
  onFault(fault: unknown): void;
}

/** A CONNECT to a port that speaks plain HTTP, whose requests are decided one by one. */
interface OpenTunnel {
  readonly authority: Authority;
  readonly claims: EgressIdentity;
  /** Dialled for the first request. */
  first: Dialled | undefined;
}

/**
 * Serves one connection of a sandbox's channel: request after request, each decided anew, until one of them takes the
 * connection over, is refused, or is the last. Never rejects.
 */
export async function serveConnection(context: ConnectionContext, socket: Socket): Promise<void> {
  const reader = new SocketReader(socket);
  try {
    await serveRequests(context, socket, reader, undefined);
  } catch (fault) {
    if (!socket.destroyed && !isConnectionFault(fault)) context.onFault(fault);
    socket.destroy();
  }
  if (!socket.destroyed) await lingeringClose(socket, reader);
}

async function serveRequests(
  context: ConnectionContext,
  socket: Socket,
  reader: SocketReader,
  tunnel: OpenTunnel | undefined,
): Promise<void> {
  for (let first = true; ; first = false) {
    const exchange = context.begin();
    let begun = false;
    let headOnly = false;
    try {
      const lines = await readHead(reader, context.limits, first ? "headTimeoutMs" : "keepAliveTimeoutMs", () => {
        begun = true;
      });
      if (lines === undefined) return;
      headOnly = lines[0]?.startsWith("HEAD ") === true;
      const request = parseRequest(lines, tunnel?.authority);
      exchange.describe(request.method, request.destination);
      if (!(await serveRequest(context, socket, reader, tunnel, exchange, request))) return;
    } catch (fault) {
      if (!(fault instanceof Refusal)) throw fault;
      if (!begun) return; // nothing was asked
      exchange.refuse(fault);
      const { decisionId, facts } = exchange;
      const about = { decisionId, sandboxId: context.sandboxId, ...facts };
      context.pages.note(fault, about);
      if (socket.writable) socket.end(writeRefusal(fault, { ...about, headOnly }), "latin1");
      return;
    } finally {
      context.end(exchange);
    }
  }
}

/** Decides on a request and serves it. Answers whether the connection can carry another one. */
async function serveRequest(
  context: ConnectionContext,
  socket: Socket,
  reader: SocketReader,
  tunnel: OpenTunnel | undefined,
  exchange: Exchange,
  request: ProxyRequest,
): Promise<boolean> {
  const { gatekeeper } = context;
  if (tunnel !== undefined) gatekeeper.requireStanding(tunnel.claims);
  const claims = tunnel?.claims ?? (await authenticate(context, request));
  const { destination, method, path } = request;
  if (path !== undefined && destination.host.text === decisionsHost) {
    exchange.keepToItself();
    await writeTo(socket, writeDecisionPage(context.pages.answer(method, path), method === "HEAD"));
    return false;
  }
  const permission =
    path === undefined
      ? gatekeeper.permitTunnel(claims, destination, mayBePlain(context, destination))
      : gatekeeper.permit(claims, destination, { kind: "request", method, path });
  refuseLoop(request, context.viaName);
  const allow = ({ asked, name, revision, wouldDeny }: Permission): void =>
    exchange.allow(destination, { asked, rule: name, policyRevision: revision, tokenId: claims.tokenId, wouldDeny });
  allow(permission);
  const forwards = remainingForwards(request);
  if (forwards === 0) {
    exchange.finish({ sentBytes: 0, receivedBytes: 0 });
    await writeTo(
      socket,
      "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
    );
    return false;
  }
  const unbind = context.bind(exchange, claims);
  const onClose = () => exchange.abandon();
  socket.once("close", onClose);
  const cutClient = () => socket.destroy();
  exchange.signal.addEventListener("abort", cutClient, { once: true });
  let dialled: Dialled | undefined;
  try {
    gatekeeper.requireStanding(claims); // once more: from here on a revocation cuts
    const injected = await takeCredential(context, exchange, request);
    dialled = tunnel?.first ?? (await context.dialer.connect(destination, permission, exchange.signal));
    if (tunnel !== undefined) tunnel.first = undefined;
    exchange.reach(dialled);
    context.recheck(exchange); // the policy may have changed while it was dialled
    if (exchange.signal.aborted) return false;
    return path === undefined
      ? await serveConnect(context, { socket, reader, exchange, destination, claims, permission, allow, dialled })
      : await forwardRequest({
          socket,
          reader,
          exchange,
          request,
          path,
          forwards,
          injected,
          upstream: await openUpstream(context, request, dialled, exchange.signal),
          limits: context.limits,
          viaName: context.viaName,
        });
  } finally {
    unbind();
    socket.off("close", onClose);
    exchange.signal.removeEventListener("abort", cutClient);
    if (dialled !== undefined) {
      exchange.finish({ sentBytes: dialled.socket.bytesWritten, receivedBytes: dialled.socket.bytesRead });
      dialled.socket.destroy();
    }
  }
}

/** The credential that the request uses, if any: from here on the exchange lives no longer than the grant. */
async function takeCredential(
  { credentials, sandboxId }: ConnectionContext,
  exchange: Exchange,
  request: ProxyRequest,
): Promise<InjectedField | undefined> {
  const use = credentials.find(sandboxId, request);
  if (use === undefined) return undefined;
  exchange.use({ isStillGranted: () => credentials.isStillGranted(sandboxId, use, request) });
  return credentials.fill(sandboxId, use);
}

/** What a request is written to: the connection, or TLS over it where the origin is a provider's and speaks TLS. */
async function openUpstream(
  { credentials, sandboxId, originAuthorities, limits }: ConnectionContext,
  { destination }: ProxyRequest,
  { socket }: Dialled,
  signal: AbortSignal,
): Promise<Socket> {
  if (!credentials.speaksTls(sandboxId, destination)) return socket;
  return startOriginTls(socket, {
    serverName: destination.host.text,
    authorities: originAuthorities,
    timeoutMs: limits.dialTimeoutMs,
    signal,
  });
}

async function authenticate(context: ConnectionContext, request: ProxyRequest): Promise<EgressIdentity> {
  context.requireTokenBudget();
  try {
    return await context.gatekeeper.authenticate(context.sandboxId, request.fields);
  } catch (fault) {
    if (fault instanceof Refusal && fault.reason === "token_invalid") context.countFailedToken();
    throw fault;
  }
}

/** A port that is TLS's by convention speaks nothing else, but where the proxy itself speaks it to the origin. */
function mayBePlain({ credentials, sandboxId }: ConnectionContext, destination: Authority): boolean {
  return destination.port !== 443 || credentials.speaksTls(sandboxId, destination);
}

async function serveConnect(
  context: ConnectionContext,
  connect: {
    readonly socket: Socket;
    readonly reader: SocketReader;
    readonly exchange: Exchange;
    readonly destination: Authority;
    readonly claims: EgressIdentity;
    readonly permission: Permission;
    /** Has the exchange rest on another permission. */
    readonly allow: (permission: Permission) => void;
    readonly dialled: Dialled;
  },
): Promise<boolean> {
  const { limits, gatekeeper } = context;
  const { socket, reader, exchange, destination, claims, permission, allow, dialled } = connect;
  const pass = async (): Promise<boolean> => {
    reader.release();
    await relay(socket, dialled.socket, { idleTimeoutMs: limits.idleTimeoutMs, signal: exchange.signal });
    return false;
  };
  const refuse = (refusal: Refusal): boolean => {
    exchange.refuse(refusal);
    context.pages.note(refusal, { decisionId: exchange.decisionId, sandboxId: context.sandboxId, ...exchange.facts });
    socket.destroy();
    return false;
  };
  await writeTo(socket, "HTTP/1.1 200 Connection Established\r\n\r\n");
  if (permission.asked.kind === "bytes") return pass();
  const opening = await readOpening(reader, {
    destination,
    mayBePlain: mayBePlain(context, destination),
    timeoutMs: limits.firstBytesTimeoutMs,
    signal: exchange.signal,
  });
  switch (opening.kind) {
    case "closed":
      return false;
    case "refused":
      return refuse(Refusal.denied(opening.reason, "the first bytes in the tunnel do not agree with it"));
    case "http":
      reader.unread(opening.bytes);
      await serveRequests(context, socket, reader, { authority: destination, claims, first: dialled });
      return false;
    case "tls":
      reader.unread(opening.bytes);
      try {
        const tls = gatekeeper.permit(claims, destination, { kind: "tls" });
        allow(tls);
        if (tls.wouldDeny !== permission.wouldDeny) exchange.reach(dialled);
      } catch (fault) {
        if (fault instanceof Refusal) return refuse(fault);
        throw fault;
      }
      return pass();
  }
}

type Opening =
  | { readonly kind: "tls" | "http"; readonly bytes: Buffer }
  | {
      readonly kind: "refused";
      readonly reason: "sni_mismatch" | "sni_missing" | "protocol_not_allowed" | "first_bytes_timeout";
    }
  | { readonly kind: "closed" };

/** Reads what a client sends first in a tunnel, as far as it takes to know that it fits the tunnel. */
async function readOpening(
  reader: SocketReader,
  options: {
    readonly destination: Authority;
    readonly mayBePlain: boolean;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
  },
): Promise<Opening> {
  const { destination, timeoutMs, signal } = options;
  const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal]);
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const more = await readUntil(reader, deadline);
    if (more === "late")
      return signal.aborted ? { kind: "closed" } : { kind: "refused", reason: "first_bytes_timeout" };
    if (more === undefined) return { kind: "closed" };
    bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
    const [first = 0] = bytes;
    if (options.mayBePlain && first >= 0x41 && first <= 0x5a) return { kind: "http", bytes }; // a method's first letter
    const hello = readClientHello(bytes);
    if (hello.kind === "hello") return judgeServerName(hello.serverName, destination.host, bytes);
    if (hello.kind === "invalid" || bytes.length > maximumHelloBytes)
      return { kind: "refused", reason: "protocol_not_allowed" };
  }
}

function judgeServerName(serverName: string | undefined, host: Host, bytes: Buffer): Opening {
  if (host.kind === "address")
    return serverName === undefined ? { kind: "tls", bytes } : { kind: "refused", reason: "sni_mismatch" };
  if (serverName === undefined) return { kind: "refused", reason: "sni_missing" };
  return parseHostName(serverName) === host.text ? { kind: "tls", bytes } : { kind: "refused", reason: "sni_mismatch" };
}

/** The next bytes, or "late" once the signal has aborted; the read then stays behind, and the connection must be closed. */
async function readUntil(reader: SocketReader, signal: AbortSignal): Promise<Buffer | undefined | "late"> {
  if (signal.aborted) return "late";
  const { promise, resolve } = Promise.withResolvers<"late">();
  const onAbort = () => resolve("late");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([reader.read(), promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Reads a request head. Undefined when the client has nothing more to ask. Throws a Refusal of 408 for a head that takes too
 * long: `wait` names the limit for its first byte, the rest has the head's.
 */
async function readHead(
  reader: SocketReader,
  limits: Limits,
  wait: "headTimeoutMs" | "keepAliveTimeoutMs",
  onBegin: () => void,
): Promise<string[] | undefined> {
  const scanner = new HeadScanner({ maximumBytes: limits.headBytes, maximumFields: limits.headFields });
  let deadline = AbortSignal.timeout(limits[wait]);
  for (;;) {
    const bytes = await readUntil(reader, deadline);
    if (bytes === "late") throw Refusal.fault(408, "request_timeout", "the request took too long");
    if (bytes === undefined) {
      if (!scanner.begun) return undefined;
      throw Refusal.malformed("the request ends early");
    }
    if (!scanner.begun) {
      onBegin();
      deadline = AbortSignal.timeout(limits.headTimeoutMs);
    }
    const end = scanner.push(bytes);
    if (end === undefined) continue;
    reader.unread(bytes.subarray(end));
    return scanner.lines();
  }
}

function refuseLoop({ fields }: ProxyRequest, viaName: string): void {
  const hops = fields.values("via").flatMap((value) => value.split(","));
  if (hops.some((hop) => hop.trim().split(/[ \t]+/)[1] === viaName))
    throw Refusal.denied("loop_detected", "the request has been through this proxy before");
}

/** Max-Forwards of OPTIONS, less this hop: 0 is to be answered here. Undefined where it does not count. */
function remainingForwards({ method, fields }: ProxyRequest): number | undefined {
  const written = method === "OPTIONS" ? fields.single("max-forwards") : undefined;
  if (written === undefined) return undefined;
  if (!/^[0-9]{1,6}$/.test(written)) throw Refusal.malformed("max-forwards is not a number");
  return Number(written);
}

const lingerMs = 1000;

/** Closes so that the last answer is read: what the client still sends is taken and thrown away for a while. */
async function lingeringClose(socket: Socket, reader: SocketReader): Promise<void> {
  reader.release();
  socket.on("error", () => socket.destroy());
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.end();
  socket.resume();
  await new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
  clearTimeout(timer);
}
