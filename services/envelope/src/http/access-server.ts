import { setMaxListeners } from "node:events";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
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
import { type AccessJudgement, type AccessRules, judgeRequest } from "./access-request.ts";
import { closeSoon } from "./close-soon.ts";
import { holdConnection } from "./hold-connection.ts";
import { ListenError } from "./listen-error.ts";

const MAX_HEADER_BYTES = 16_384;
const REQUEST_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
/** Connections that hold no grant. */
const MAX_REQUESTING = 1_024;

/** What the listener for clients needs. */
export interface AccessServerDeps {
  readonly address: { readonly host: string; readonly port: number };
  /** PEM; undefined: plain HTTP. */
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly rules: AccessRules;
  readonly grants: Grants;
  /** Grants that there may be; more connections are turned away unheard. */
  readonly maxGrants: number;
  readonly metrics: EnvelopeMetrics;
  readonly clock: () => number;
  readonly monotonic: () => number;
  readonly logger: Logger;
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
      deps.tls === undefined
        ? createHttpServer(options)
        : createHttpsServer({ ...options, ...deps.tls, minVersion: "TLSv1.2", handshakeTimeout: REQUEST_MS });
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
    const { host, port } = this.#deps.address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(new ListenError(`${host}:${port}`, cause)));
      this.#server.listen({ host, port, exclusive: true }, resolve);
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
    const reply = this.#replyTo(
      judgement.outcome === "good" ? { outcome: "refused", refusal: "handshake" } : judgement,
    );
    this.#note(request, reply);
    response.writeHead(reply.status, reply.headers).end(reply.body);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    if (head.length > 0) return void socket.destroy(); // who speaks before he is answered speaks another protocol (E-08)
    const judgement = await this.#judge(request);
    const opened =
      judgement.outcome === "good" ? await this.#deps.grants.open(judgement.address, judgement.claims) : judgement;
    if (judgement.outcome === "good" && opened.outcome === "granted" && !this.#revoked.signal.aborted) {
      socket.write(judgement.handshake);
      return this.#hold(socket, opened.lease);
    }
    if (opened.outcome === "granted") this.#deps.grants.close(opened.lease);
    const reply = this.#replyTo(
      opened.outcome === "moved" || opened.outcome === "refused" ? opened : { outcome: "refused", refusal: "stopping" },
    );
    this.#note(request, reply);
    closeSoon(socket, formatReply(reply, request.method));
  }

  async #judge(request: IncomingMessage): Promise<AccessJudgement> {
    return await judgeRequest(request, this.#deps.rules, this.#deps.clock());
  }

  #hold(socket: Duplex, lease: Lease): void {
    const { grants, metrics, monotonic, logger } = this.#deps;
    const openedAt = monotonic();
    metrics.countRequest("granted");
    logger.info({ lease: lease.id, address: lease.address.text }, "granted");
    holdConnection(socket, {
      leftMs: lease.deadlineMs - openedAt,
      revoked: this.#revoked.signal,
      onEnd: (end) => {
        grants.close(lease);
        metrics.countEnd(end, monotonic() - openedAt);
        logger.info({ lease: lease.id, address: lease.address.text, end }, "ended");
      },
    });
  }

  #replyTo(
    refused:
      | { readonly outcome: "moved"; readonly location: string }
      | { readonly outcome: "refused"; readonly refusal: Refusal; readonly retryAfterMs?: number },
  ): Reply {
    const close = { connection: "close", "cache-control": "no-store" };
    if (refused.outcome === "moved")
      return { outcome: "moved", status: 301, headers: { ...close, location: refused.location }, body: "" };
    const { refusal, retryAfterMs } = refused;
    const status = statusOf(refusal, { compatible: this.#deps.rules.tokens.compatible });
    return {
      outcome: refusal,
      status,
      headers: {
        ...close,
        "content-type": "text/plain",
        ...(status === 401 && { "www-authenticate": "Bearer" }),
        ...(refusal === "method" && { allow: "GET" }),
        ...(refusal === "handshake" && { "sec-websocket-version": "13" }),
        ...(retryAfterMs !== undefined && { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
      },
      body: `${refusal}\n`,
    };
  }

  /** The peer's address is all of a request that is written down: its URL may hold a token. */
  #note({ socket }: IncomingMessage, { outcome, status }: Reply): void {
    this.#deps.metrics.countRequest(outcome);
    this.#deps.logger.info({ outcome, status, address: socket.remoteAddress }, "refused");
  }
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
