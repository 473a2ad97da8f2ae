import type { ServerHttp2Session } from "node:http2";
import { TLSSocket } from "node:tls";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type { Connection } from "../call.ts";

type AuthContext = ReturnType<ServerInterceptingCallInterface["getAuthContext"]>;

/** One HTTP/2 connection, with what TLS verified of the client. */
export class GrpcConnection implements Connection, AuthContext {
  readonly transportSecurityType = "ssl";
  readonly transport: "tcp" | "unix";
  readonly certificate?: Uint8Array;
  readonly remoteAddress: string;
  readonly #session: ServerHttp2Session;

  constructor(session: ServerHttp2Session) {
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

const connections = new WeakMap<ServerHttp2Session, GrpcConnection>();

/**
 * The connection of a call; one object for each HTTP/2 session. grpc-js offers the peer's certificate only by parsing it
 * anew for every call, so the session is read from its call object (a private field, pinned by version and by test).
 * Throws when it is not there: then no call is served.
 */
export function connectionOf(call: ServerInterceptingCallInterface): GrpcConnection {
  const session = (call as unknown as { stream?: { session?: ServerHttp2Session } }).stream?.session;
  if (session?.socket === undefined) throw new TypeError("the call's connection is gone or cannot be found");
  let connection = connections.get(session);
  if (connection === undefined) {
    connection = new GrpcConnection(session);
    connections.set(session, connection);
  }
  return connection;
}
