import { chmodSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import {
  createAsyncIterable,
  readAllBytes,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorFromJsonBytes, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { CertificateStore } from "../grpc/certificate-store.ts";
import { createPipelineChannel } from "../in-process-channel.ts";
import { ListenError } from "../listen-error.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { repeatedHeaders } from "../repeated-headers.ts";
import { ServiceError } from "../service-error.ts";
import { UnreadRequests } from "../unread-requests.ts";
import { fromOwnError, toConnectError } from "./connect-error.ts";
import { crossOriginHeaders, preflightHeaders } from "./cross-origin.ts";
import { type WebConnection, WebConnections } from "./web-connection.ts";
import { createWebHandlers, setWebCall } from "./web-handlers.ts";

/** What a web server is made of. */
export interface WebServerOptions {
  readonly pipeline: Pipeline;
  /** What it shows; clients are not asked for certificates. */
  readonly certificates: CertificateStore;
  /** Origins of the web pages that may call, as browsers spell them ("https://console.example"). */
  readonly allowedOrigins: readonly string[];
  /** Asked by GET /healthz. */
  readonly isServing: () => boolean | Promise<boolean>;
  readonly newCallId: () => string;
  /** Told of what went wrong in the server itself. */
  readonly onFault: (fault: unknown) => void;
  readonly limits?: Partial<WebServerLimits>;
}

/** What strangers can make the server hold. */
export interface WebServerLimits {
  /** Default 1,024; further ones are closed. */
  readonly connections: number;
  /** A connection ends when nothing was asked on it for so long, a slow TLS handshake too. Default 30,000. */
  readonly idleMs: number;
  /** A request's first message must have arrived after so long. Default 30,000. */
  readonly requestMs: number;
  /** All request bodies together that are not read yet; the oldest are cut. Default 64 MiB. */
  readonly unreadBytes: number;
}

/** A server of gRPC-Web, Connect and JSON over TLS, HTTP/1.1 and HTTP/2. */
export interface WebServer {
  /** Listens on "127.0.0.1:7449", "127.0.0.1:0" or "unix:/path", as `GrpcServer.bind`. Throws ListenError. */
  bind(address: string): Promise<string>;
  /** Lets open calls end for `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const standardLimits: WebServerLimits = {
  connections: 1_024,
  idleMs: 30_000,
  requestMs: 30_000,
  unreadBytes: 64 * 1024 * 1024,
};
const streamsPerConnection = 100;
const longestHeaderBytes = 16 * 1024; // Node's own limit over HTTP/1.1

/** Throws when the store has no certificate to show. */
export function createWebServer(options: WebServerOptions): WebServer {
  const limits = { ...standardLimits, ...options.limits };
  const handlers = createWebHandlers(options.pipeline);
  const allowedOrigins = new Set(options.allowedOrigins);
  const connections = new WebConnections({ idleMs: limits.idleMs });
  const unread = new UnreadRequests({ timeoutMs: limits.requestMs, budgetBytes: limits.unreadBytes });
  const channels = new WeakMap<WebConnection, ReturnType<typeof createPipelineChannel>>();
  const servers = new Set<Http2SecureServer>();

  const channelOf = (connection: WebConnection): ReturnType<typeof createPipelineChannel> => {
    let channel = channels.get(connection);
    if (channel === undefined) {
      channel = createPipelineChannel({ pipeline: () => options.pipeline, connection, newCallId: options.newCallId });
      channels.set(connection, channel);
    }
    return channel;
  };

  /** What is answered to a request of an origin that may call. */
  const answer = async (request: Request, response: Response): Promise<UniversalServerResponse> => {
    const path = request.url?.split("?", 1)[0] ?? "";
    if (request.method === "OPTIONS" && request.headers.origin !== undefined)
      return { status: 204, header: new Headers(preflightHeaders) };
    if (path === "/healthz" && (request.method === "GET" || request.method === "HEAD"))
      return healthResponse(await options.isServing(), request.method);
    const handler = handlers.get(path);
    if (handler === undefined)
      return refusal(new ServiceError("METHOD_NOT_FOUND", "no such method on this listener"), 404);
    const connection = connections.find("stream" in request ? request.stream.session : request.socket);
    if (connection === undefined) throw new TypeError("the request's connection is gone or cannot be found");

    const values = createContextValues();
    const incoming = universalRequest(request, response, values);
    if (incoming === undefined)
      return refusal(new ServiceError("REQUEST_MALFORMED", "the request names no host, or none that there can be"));
    const reading = unread.begin(() => cut(request));
    response.once("close", () => reading.read());
    setWebCall(values, {
      channel: channelOf(connection),
      headers: headersOf(request.rawHeaders),
      repeatedHeaders: repeatedHeaders(request.rawHeaders),
      signal: incoming.signal,
      read: () => reading.read(),
    });
    incoming.header.delete("content-length"); // a promise of bytes is no reason to set memory aside
    dropLongTimeouts(incoming.header);
    return inOurWords(
      await handler({
        ...incoming,
        body: counted(incoming.body as AsyncIterable<Uint8Array>, (bytes) => reading.count(bytes)),
      }),
    );
  };

  const serve = async (request: Request, response: Response): Promise<void> => {
    const carrier = "stream" in request ? request.stream.session : request.socket;
    const connection = connections.find(carrier);
    connection?.beginRequest();
    response.once("close", () => connection?.endRequest());
    response.setHeader("cache-control", "no-store");
    response.setHeader("x-content-type-options", "nosniff");
    if (connection?.isDraining === true && !("stream" in request)) response.setHeader("connection", "close");
    const crossOrigin = crossOriginHeaders(request.headers.origin, allowedOrigins);
    for (const [name, value] of Object.entries(crossOrigin ?? {})) response.setHeader(name, value);
    try {
      const universal =
        crossOrigin === undefined
          ? refusal(new ServiceError("ORIGIN_NOT_ALLOWED", "web pages of this origin may not call"))
          : await answer(request, response);
      await universalResponseToNodeResponse(universal, response);
    } catch (fault) {
      if (!isGoneAway(fault)) options.onFault(fault);
      cut(request);
    }
  };

  const createServer = (): Http2SecureServer => {
    const { identity } = options.certificates;
    if (identity === undefined) throw new TypeError("a web server needs a certificate");
    const server = createSecureServer(
      {
        cert: identity.certificate,
        key: identity.key,
        allowHTTP1: true,
        handshakeTimeout: limits.idleMs,
        keepAlive: true, // a peer that is gone without a word ends its streams, too
        keepAliveInitialDelay: 60_000,
        settings: { maxConcurrentStreams: streamsPerConnection, maxHeaderListSize: longestHeaderBytes },
      },
      (request, response) => void serve(request, response),
    );
    server.maxConnections = limits.connections;
    connections.follow(server);
    return server;
  };

  // a renewed certificate is shown to every connection made afterwards
  const onCertificate: Parameters<CertificateStore["addIdentityCertificateListener"]>[0] = (renewed) => {
    if (renewed === null) return;
    for (const server of servers) server.setSecureContext({ cert: renewed.certificate, key: renewed.privateKey });
  };
  options.certificates.addIdentityCertificateListener(onCertificate);

  return {
    bind: (address) =>
      new Promise((resolve, reject) => {
        const server = createServer();
        const path = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
        if (path !== undefined) rmSync(path, { force: true });
        server.once("error", (error) => reject(new ListenError(address, error)));
        server.listen(path === undefined ? endpointOf(address) : { path }, () => {
          servers.add(server);
          if (path === undefined)
            return resolve(address.replace(/:\d+$/, `:${(server.address() as AddressInfo).port}`)); // a TCP server that listens has one
          chmodSync(path, 0o666);
          resolve(address);
        });
      }),
    stop: async (graceMs) => {
      options.certificates.removeIdentityCertificateListener(onCertificate);
      const closed = Promise.all(
        [...servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
      );
      servers.clear();
      connections.drain();
      const overdue = setTimeout(() => connections.destroy(), graceMs);
      // a handshake that is not over is not waited for: its connection ends when it is
      const late = Promise.withResolvers<void>();
      const tooLate = setTimeout(late.resolve, graceMs + 500);
      await Promise.race([closed, late.promise]);
      clearTimeout(overdue);
      clearTimeout(tooLate);
    },
  };
}

function endpointOf(address: string): { readonly host: string; readonly port: number } {
  const separator = address.lastIndexOf(":");
  return { host: address.slice(0, separator).replace(/^\[|\]$/g, ""), port: Number(address.slice(separator + 1)) };
}

/** The request as Connect reads it; undefined when it names no authority, or one that cannot stand in a URL. */
function universalRequest(
  request: Request,
  response: Response,
  values: ReturnType<typeof createContextValues>,
): UniversalServerRequest | undefined {
  try {
    return universalRequestFromNodeRequest(request, response, undefined, values);
  } catch {
    return undefined;
  }
}

/** Timeouts of more than a day are none: after 24 days a timer of Node's fires at once, with a warning that fills the log. */
function dropLongTimeouts(headers: Headers): void {
  const dayMs = 86_400_000;
  if (Number(headers.get("connect-timeout-ms")) > dayMs) headers.delete("connect-timeout-ms");
  const [, count, unit] = /^(\d+)([HMS])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  const unitMs = unit === "H" ? 3_600_000 : unit === "M" ? 60_000 : 1_000;
  if (Number(count) * unitMs > dayMs) headers.delete("grpc-timeout");
}

/** The header fields by name; cookies are left out, so that nothing can ever come to trust one. */
function headersOf(raw: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  for (let index = 0; index + 1 < raw.length; index += 2)
    headers[(raw[index] ?? "").toLowerCase()] = raw[index + 1] ?? "";
  delete headers["cookie"];
  return headers;
}

async function* counted(body: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    count(chunk.byteLength);
    yield chunk;
  }
}

/** Whether nothing went wrong but that the caller did not wait for the answer. */
function isGoneAway(fault: unknown): boolean {
  const { code } = ConnectError.from(fault);
  return code === Code.Aborted || code === Code.Canceled;
}

function cut(request: Request): void {
  if ("stream" in request) request.stream.close(constants.NGHTTP2_CANCEL);
  else request.socket.destroy();
}

function healthResponse(isServing: boolean, method: string): UniversalServerResponse {
  return {
    status: isServing ? 200 : 503,
    header: new Headers({ "content-type": "application/json" }),
    ...(method === "GET" && { body: json({ status: isServing ? "SERVING" : "NOT_SERVING" }) }),
  };
}

/** An error as Connect answers it to a unary call; `status` where its reason's own is not meant. */
function refusal(error: ServiceError, status?: number): UniversalServerResponse {
  const described = toConnectError(error);
  return {
    status: status ?? codeToHttpStatus(described.code),
    header: new Headers({ "content-type": "application/json" }),
    body: createAsyncIterable([errorToJsonBytes(described, undefined)]),
  };
}

/** Gives the refusals that Connect itself makes of a request an ErrorInfo like all of ours, where HTTP has room for one. */
async function inOurWords(answer: UniversalServerResponse): Promise<UniversalServerResponse> {
  if (answer.status === 200) return answer;
  if (answer.body === undefined) {
    const fault = plainFaults[answer.status] ?? "the request is not one of the protocols that are served here";
    const own = refusal(new ServiceError("REQUEST_MALFORMED", fault), answer.status);
    answer.header?.forEach((value, name) => void own.header?.set(name, value));
    return own;
  }
  const bytes = await readAllBytes(answer.body, Number.MAX_SAFE_INTEGER);
  const error = errorFromJsonBytes(bytes, undefined, new ConnectError("", Code.Internal));
  return error.details.length > 0 ? { ...answer, body: createAsyncIterable([bytes]) } : refusal(fromOwnError(error));
}

const plainFaults: Readonly<Record<number, string | undefined>> = {
  405: "methods are called by POST",
  415: "the content type is none of JSON, protobuf and gRPC-Web for this kind of method",
  505: "a method that streams both ways needs HTTP/2",
};

function json(value: object): AsyncIterable<Uint8Array> {
  return createAsyncIterable([Buffer.from(`${JSON.stringify(value)}\n`)]);
}
