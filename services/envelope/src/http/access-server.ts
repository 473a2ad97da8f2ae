import { setMaxListeners } from "node:events";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { background, type Logger } from "@sandgate/telemetry";
import type { Lease } from "../domain/lease-table.ts";
import { type Refusal, statusOf } from "../domain/refusal.ts";
import type { EnvelopeMetrics } from "../envelope-metrics.ts";
import type { Grants } from "../grants.ts";
import { type AccessJudgement, type AccessRules, judgeRequest, type ServedPath } from "./access-request.ts";
import { closeSoon } from "./close-soon.ts";
import { type GrantEnd, holdConnection } from "./hold-connection.ts";
import { holdResponse } from "./hold-response.ts";
import { ListenError } from "./listen-error.ts";

const MAX_HEADER_BYTES = 16_384;
const REQUEST_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
/** Connections that hold no grant. */
const MAX_REQUESTING = 1_024;

/** What the listener for clients needs. */
export interface AccessServerDeps {
  readonly address: { readonly host: string; readonly port: number; readonly ipv6Only: boolean };
  /** Followed: a change counts for every connection made afterwards. Undefined: plain HTTP. */
  readonly certificates: ServerCertificates | undefined;
  readonly rules: AccessRules;
  readonly grants: Grants;
  /** Grants that there may be; more connections are turned away unheard. */
  readonly maxGrants: number;
  readonly metrics: EnvelopeMetrics;
  readonly clock: () => number;
  readonly monotonic: () => number;
  readonly logger: Logger;
}

/** The certificate that clients see, and whom to tell when it changes. */
export interface ServerCertificates {
  readonly identity: { readonly certificate: string; readonly key: string } | undefined;
  onChange(listener: () => void): void;
}

/** The listener for clients: `GET /v0/envelope/access`, by WebSocket. HTTP/1.1 alone: HTTP/2 has another handshake for WebSockets (E-09). */
export class AccessServer {
  readonly #deps: AccessServerDeps;
  readonly #server: Server;
  readonly #revoked = new AbortController();

  constructor(deps: AccessServerDeps) {
    this.#deps = deps;
    const options = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    };
    this.#server =
      deps.certificates === undefined ? createHttpServer(options) : createSecureServer(options, deps.certificates);
    this.#server.maxConnections = deps.maxGrants + MAX_REQUESTING;
    const serve = (socket: Duplex, served: Promise<void>): void => {
      const ended = served.catch((error: unknown) => {
        socket.destroy();
        throw error;
      });
      background(ended, deps.logger, "a request failed");
    };
    this.#server.on("upgrade", (request, socket, head) => serve(socket, this.#upgrade(request, socket, head)));
    this.#server.on("request", (request, response) => serve(request.socket, this.#answer(request, response)));
    this.#server.on("clientError", (_, socket) => socket.destroy());
    setMaxListeners(0, this.#revoked.signal); // one for each grant
  }

  /** The port, once it listens. Rejects with ListenError where it cannot. */
  async listen(): Promise<number> {
    const { host, port, ipv6Only } = this.#deps.address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(new ListenError(`${host}:${port}`, cause)));
      this.#server.listen({ host, port, ipv6Only, exclusive: true }, resolve);
    });
    this.#server.on("error", (error) => this.#deps.logger.error({ err: error }, "the listener failed"));
    return (this.#server.address() as AddressInfo).port; // a TCP server that listens has one
  }

  /** Ends every grant and every connection. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#revoked.abort();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const judgement = await this.#judge(request);
    const opened = await this.#open(judgement, "response");
    if (opened.outcome === "granted") {
      request.resume(); // a body that nobody reads would have no end
      response.writeHead(200, { ...closing, "content-type": "text/plain" }).flushHeaders();
      return this.#hold(opened.lease, (options) => holdResponse(response, options));
    }
    const reply = this.#replyTo(opened);
    this.#note(request, reply);
    response.writeHead(reply.status, reply.headers).end(reply.body);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    if (head.length > 0) return void socket.destroy(); // who speaks before he is answered speaks another protocol (E-08)
    const judgement = await this.#judge(request);
    const opened = await this.#open(judgement, "websocket");
    if (opened.outcome === "granted") {
      socket.write(opened.handshake);
      return this.#hold(opened.lease, (options) => holdConnection(socket, options));
    }
    const reply = this.#replyTo(opened);
    this.#note(request, reply);
    closeSoon(socket, formatReply(reply, request.method));
  }

  async #judge(request: IncomingMessage): Promise<AccessJudgement> {
    const judgement = await judgeRequest(request, this.#deps.rules, this.#deps.clock());
    this.#deps.metrics.countJudgement(judgement);
    return judgement;
  }

  /** Lets a good request in that is held in this way. */
  async #open(judgement: AccessJudgement, kind: "websocket" | "response"): Promise<Opened> {
    if (judgement.outcome !== "good") return judgement;
    const { path, holding } = judgement;
    if (holding.kind !== kind) return { outcome: "refused", refusal: "handshake", path };
    const { grants } = this.#deps;
    const opened = await grants.open(judgement.addresses, judgement.claims);
    if (opened.outcome === "refused") return { ...opened, path };
    if (this.#revoked.signal.aborted) {
      await grants.close(opened.lease);
      return { outcome: "refused", refusal: "stopping", path };
    }
    return { ...opened, handshake: holding.kind === "websocket" ? holding.handshake : "" };
  }

  #hold(
    lease: Lease,
    hold: (options: {
      readonly leftMs: number;
      readonly revoked: AbortSignal;
      readonly onEnd: (end: GrantEnd) => void;
    }) => void,
  ): void {
    const { grants, metrics, monotonic, logger } = this.#deps;
    const openedAt = monotonic();
    const entry = { lease: lease.id, address: lease.addresses.map(({ text }) => text).join(" ") };
    metrics.countRequest("granted");
    logger.info(entry, "granted");
    const own = new AbortController();
    hold({
      leftMs: lease.deadlineMs - openedAt,
      revoked: AbortSignal.any([this.#revoked.signal, own.signal]),
      onEnd: (end) => {
        const shutting = grants.close(lease).then((shut) => metrics.countShut(shut)); // last of all (E-40)
        background(shutting, logger, "the end of a lease could not be counted");
        metrics.countEnd(end, monotonic() - openedAt);
        logger.info({ ...entry, end }, "ended");
      },
    });
    grants.onRevoke(lease, () => own.abort());
  }

  #replyTo(refused: Refused): Reply {
    if (refused.outcome === "moved")
      return { outcome: "moved", status: 301, headers: { ...closing, location: refused.location }, body: "" };
    const { refusal, retryAfterMs, path } = refused;
    const { compatible } = this.#deps.rules.tokens;
    const status = statusOf(refusal, { compatible });
    const compatibleBody = refusal === "handshake" ? "Bad Request\n" : ""; // E-05, E-06
    return {
      outcome: refusal,
      status,
      headers: {
        ...closing,
        "content-type": "text/plain",
        ...(status === 401 && { "www-authenticate": "Bearer" }),
        ...(refusal === "method" && !compatible && { allow: path === "/v0/allow" ? "GET, POST" : "GET" }),
        ...(refusal === "handshake" && { "sec-websocket-version": "13" }),
        ...(retryAfterMs !== undefined && { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
      },
      body: compatible ? compatibleBody : `${refusal}\n`,
    };
  }

  /** The peer's address is all of a request that is written down: its URL may hold a token. */
  #note({ socket }: IncomingMessage, { outcome, status }: Reply): void {
    this.#deps.metrics.countRequest(outcome);
    this.#deps.logger.info({ outcome, status, address: socket.remoteAddress }, "refused");
  }
}

const closing = { connection: "close", "cache-control": "no-store" } as const;

type Refused =
  | { readonly outcome: "moved"; readonly location: string }
  | {
      readonly outcome: "refused";
      readonly refusal: Refusal;
      readonly path?: ServedPath;
      readonly retryAfterMs?: number;
    };

type Opened = Refused | { readonly outcome: "granted"; readonly lease: Lease; readonly handshake: string };

function createSecureServer(options: ServerOptions, certificates: ServerCertificates): Server {
  const material = () => {
    const { identity } = certificates;
    if (identity === undefined) throw new TypeError("the listener has no certificate");
    return { cert: identity.certificate, key: identity.key, minVersion: "TLSv1.2" } as const;
  };
  const server = createHttpsServer({ ...options, ...material(), handshakeTimeout: REQUEST_MS });
  certificates.onChange(() => server.setSecureContext(material()));
  return server;
}

interface Reply {
  readonly outcome: Refusal | "moved";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function formatReply({ status, headers, body }: Reply, method: string | undefined): string {
  const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body)) });
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${method === "HEAD" ? "" : body}`;
}
