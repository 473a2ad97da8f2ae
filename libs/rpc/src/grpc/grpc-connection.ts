import type { Http2Server, Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { TLSSocket } from "node:tls";
import type { Server } from "@grpc/grpc-js";
import type { Connection } from "../call.ts";
import { repeatedHeaders } from "../repeated-headers.ts";

/** One HTTP/2 connection, with what TLS verified of the client. */
class GrpcConnection implements Connection {
  readonly transport: "tcp" | "unix";
  readonly certificate?: Uint8Array;
  readonly remoteAddress: string;
  readonly #session: Http2Session;

  constructor(session: Http2Session) {
    this.#session = session;
    const { socket } = session;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.transport = this.remoteAddress === "" ? "unix" : "tcp";
    // `authorized` is false on listeners that do not ask for a certificate; one that was not verified is not a fact.
    if (socket instanceof TLSSocket && socket.authorized) {
      const raw: unknown = socket.getPeerCertificate().raw;
      if (Buffer.isBuffer(raw)) this.certificate = raw;
    }
  }

  drain(): void {
    this.#session.close();
  }

  onClose(listener: () => void): void {
    this.#session.once("close", listener);
  }
}

/**
 * What grpc-js does not tell its handlers: the connection of a call, one object for each, where grpc-js would parse the peer's
 * certificate anew at every call; and which headers came twice, of which Node drops some and joins others.
 */
export class GrpcConnections {
  readonly #connections = new WeakMap<Http2Session, Connection>();
  readonly #repeated = new WeakMap<ServerHttp2Stream, ReadonlySet<string>>();
  readonly #observed = new WeakSet<Http2Server>();

  /**
   * Looks at what comes in on all addresses that the server is bound to. Its HTTP/2 servers are a private field of grpc-js, pinned
   * by version and by test; throws TypeError when they are not there.
   */
  observe(server: Server): void {
    const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
    if (http2Servers === undefined || http2Servers.size === 0) throw new TypeError("grpc-js has no HTTP/2 server");
    for (const http2Server of http2Servers.keys()) {
      if (this.#observed.has(http2Server)) continue;
      this.#observed.add(http2Server);
      http2Server.on("session", (session) => this.#connections.set(session, new GrpcConnection(session)));
      http2Server.prependListener(
        "stream",
        (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
          if (Object.keys(headers).length * 2 !== raw.length) this.#repeated.set(stream, repeatedHeaders(raw));
        },
      );
    }
  }

  /** The connection of a call; undefined when it has gone, or was there before `observe`: then no call is served. */
  connectionOf(stream: ServerHttp2Stream): Connection | undefined {
    const { session } = stream;
    return session === undefined ? undefined : this.#connections.get(session);
  }

  /** Whether the request has more than one header of that name (lower case). */
  isRepeated(stream: ServerHttp2Stream, name: string): boolean {
    return this.#repeated.get(stream)?.has(name) === true;
  }
}
