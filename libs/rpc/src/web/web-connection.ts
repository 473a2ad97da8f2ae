import type { Http2SecureServer, ServerHttp2Session } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { Connection } from "../call.ts";

/** One connection of a web server, over HTTP/1.1 or HTTP/2. It ends by itself when nothing was asked on it for `idleMs`. */
export class WebConnection implements Connection {
  readonly transport = "web";
  readonly remoteAddress: string;
  readonly #idleMs: number;
  readonly #carrier: ServerHttp2Session | TLSSocket;
  #requests = 0;
  #isDraining = false;
  #idle: NodeJS.Timeout;

  constructor(carrier: ServerHttp2Session | TLSSocket, remoteAddress: string | undefined, idleMs: number) {
    this.#carrier = carrier;
    this.remoteAddress = remoteAddress ?? "";
    this.#idleMs = idleMs;
    this.#idle = this.#endWhenIdle();
    carrier.once("close", () => clearTimeout(this.#idle));
  }

  /** Whether no new request may come on it. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Counts a request that is under way. */
  beginRequest(): void {
    this.#requests += 1;
    clearTimeout(this.#idle);
  }

  endRequest(): void {
    this.#requests -= 1;
    if (this.#requests > 0) return;
    if (this.#isDraining) this.destroy();
    else this.#idle = this.#endWhenIdle();
  }

  drain(): void {
    this.#isDraining = true;
    if (this.#requests === 0) this.destroy();
    else if ("goaway" in this.#carrier) this.#carrier.close();
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  onClose(listener: () => void): void {
    this.#carrier.once("close", listener);
  }

  #endWhenIdle(): NodeJS.Timeout {
    return setTimeout(() => this.destroy(), this.#idleMs).unref();
  }
}

/** The open connections of web servers. */
export class WebConnections {
  readonly #idleMs: number;
  readonly #byCarrier = new Map<object, WebConnection>();
  #isDraining = false;

  constructor(options: { readonly idleMs: number }) {
    this.#idleMs = options.idleMs;
  }

  /** Follows the connections of a server from their TLS handshake to their end. */
  follow(server: Http2SecureServer): void {
    server.on("session", (session) => this.#add(session, session.socket.remoteAddress));
    server.on("secureConnection", (socket) => {
      if (socket.alpnProtocol !== "h2") this.#add(socket, socket.remoteAddress);
    });
  }

  /** The connection of a request: of its HTTP/2 session or its socket. */
  find(carrier: object | undefined): WebConnection | undefined {
    return carrier === undefined ? undefined : this.#byCarrier.get(carrier);
  }

  /** Lets requests under way end, and every new connection at once. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#byCarrier.values()) connection.drain();
  }

  /** Cuts whatever is under way. */
  destroy(): void {
    for (const connection of this.#byCarrier.values()) connection.destroy();
  }

  #add(carrier: ServerHttp2Session | TLSSocket, remoteAddress: string | undefined): void {
    const connection = new WebConnection(carrier, remoteAddress, this.#idleMs);
    this.#byCarrier.set(carrier, connection);
    carrier.once("close", () => this.#byCarrier.delete(carrier));
    if (this.#isDraining) connection.drain(); // its handshake was not over in time
  }
}
