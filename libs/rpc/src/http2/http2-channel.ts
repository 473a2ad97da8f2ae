import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from "node:http2";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import type { CallOptions, Channel } from "../client.ts";
import { Ending, ended } from "../ending.ts";
import { type Reason, ServiceError } from "../service-error.ts";
import { decodeStatusDetails } from "../status-details.ts";
import { encodeMessage } from "../wire/encode-message.ts";

/** Where the channel leads. */
export interface Http2ChannelOptions {
  /** "127.0.0.1:7444", "[::1]:7444" or "unix:/path"; dialled anew whenever there is no connection. */
  readonly address: string;
  /** The DNS name that the server's certificate must carry. */
  readonly serverName: string;
  /** Read at every dial: whom to trust and, with mutual TLS, what to show. */
  readonly tls: () => Pick<ConnectionOptions, "ca" | "cert" | "key">;
  /** Read at every call, so that a credential can change under an open channel. */
  readonly headers?: () => Readonly<Record<string, string>>;
}

/** A channel that can also be warmed up. */
export interface Http2Channel extends Channel {
  /** Begins to dial, so that the first call finds a connection. */
  dial(): void;
  /** Has the next call dial anew; calls under way go on. */
  renew(): void;
}

const unaryTimeoutMs = 10_000;
const maxMessageBytes = 4 * 1024 * 1024;
const windowBytes = 1024 * 1024;

/**
 * A gRPC client on node:http2 alone, for programs whose start somebody waits for: it is there in a third of the time of
 * grpc-js. Calls fail with UNAVAILABLE while there is no server; callers retry. They fail with CREDENTIAL_REJECTED where the server
 * ends the connection as soon as it has seen the certificate.
 */
export function createHttp2Channel(options: Http2ChannelOptions): Http2Channel {
  let current: ClientHttp2Session | undefined;
  const all = new Set<ClientHttp2Session>();
  /**
   * Servers that were shown a certificate, and have said nothing yet. In TLS 1.3 a client is through with its handshake before the
   * server has looked at the certificate; one that it does not take is answered by the end of the connection alone.
   */
  const unheard = new WeakSet<ClientHttp2Session>();

  const forget = (session: ClientHttp2Session): void => {
    if (current === session) current = undefined;
  };

  const sessionFor = (): ClientHttp2Session => {
    if (current !== undefined && !current.closed && !current.destroyed) return current;
    const session = connectHttp2(`https://${options.serverName}`, {
      settings: { initialWindowSize: windowBytes },
      createConnection: () => {
        const tls = options.tls();
        const socket = connectTls({
          ...tls,
          ...endpointOf(options.address),
          servername: options.serverName,
          ALPNProtocols: ["h2"],
          minVersion: "TLSv1.3",
        });
        if (tls.cert !== undefined) socket.once("secureConnect", () => unheard.add(session));
        return socket;
      },
    });
    session.once("remoteSettings", () => unheard.delete(session));
    session.on("error", () => forget(session)); // each stream is told by its own error
    session.on("goaway", () => {
      forget(session);
      if (!session.destroyed) session.close();
    });
    session.on("close", () => {
      forget(session);
      all.delete(session);
    });
    session.once("connect", () => session.setLocalWindowSize(windowBytes));
    all.add(session);
    current = session;
    return session;
  };

  const begin = (method: DescMethod, call: CallOptions, timeoutMs: number | undefined): RunningCall => {
    if (call.signal?.aborted === true) throw new ServiceError("CANCELLED", "the call was cancelled");
    try {
      const session = sessionFor();
      const stream = session.request({
        ":method": "POST",
        ":path": `/${method.parent.typeName}/${method.name}`,
        "content-type": "application/grpc",
        te: "trailers",
        ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${Math.ceil(timeoutMs)}m` }),
        ...options.headers?.(),
        ...call.headers,
      });
      return new RunningCall({ method, stream, signal: call.signal, timeoutMs, isUnheard: () => unheard.has(session) });
    } catch (cause) {
      if (cause instanceof ServiceError) throw cause;
      throw new ServiceError("UNAVAILABLE", "the server cannot be reached", {}, { cause });
    }
  };

  const requireOne = async (running: RunningCall): Promise<unknown> => {
    let answer: unknown;
    for await (const message of running.responses()) answer = message;
    if (answer === undefined) throw new ServiceError("INTERNAL", "the server answered without a message");
    return answer;
  };

  return {
    dial: () => void sessionFor(),
    renew: () => {
      const session = current;
      current = undefined;
      if (session !== undefined && !session.destroyed) session.close();
    },
    unary: async (method, request, call) => {
      const running = begin(method, call, call.timeoutMs ?? unaryTimeoutMs);
      running.endWith(request);
      return requireOne(running);
    },
    serverStream: async function* (method, request, call) {
      const running = begin(method, call, call.timeoutMs);
      running.endWith(request);
      yield* running.responses();
    },
    clientStream: async (method, requests, call) => {
      const running = begin(method, call, call.timeoutMs);
      running.send(requests);
      return requireOne(running);
    },
    bidiStream: async function* (method, requests, call) {
      const running = begin(method, call, call.timeoutMs);
      running.send(requests);
      yield* running.responses();
    },
    close: () => {
      for (const session of all) session.destroy();
    },
  };
}

/** Where an address leads. Throws TypeError for what is none. */
function endpointOf(address: string): { path: string } | { host: string; port: number } {
  if (address.startsWith("unix:")) return { path: address.slice("unix:".length) };
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw new TypeError("an address is host:port, [address]:port or unix:/path");
  return { host, port: Number(port) };
}

/** One call on its HTTP/2 stream. */
class RunningCall {
  readonly #method: DescMethod;
  readonly #stream: ClientHttp2Stream;
  readonly #release: () => void;
  readonly #isUnheard: () => boolean;
  #headers: Readonly<Record<string, unknown>> = {};
  #trailers: Readonly<Record<string, unknown>> | undefined;
  #fault: unknown;

  constructor(options: {
    method: DescMethod;
    stream: ClientHttp2Stream;
    signal: AbortSignal | undefined;
    timeoutMs: number | undefined;
    /** Whether the server has said nothing since it was shown a certificate. */
    isUnheard: () => boolean;
  }) {
    const { method, stream, signal, timeoutMs } = options;
    this.#method = method;
    this.#isUnheard = options.isUnheard;
    this.#stream = stream;
    const cancel = (): void => this.#end(new ServiceError("CANCELLED", "the call was cancelled"));
    signal?.addEventListener("abort", cancel, { once: true });
    const deadline =
      timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => this.#end(new ServiceError("DEADLINE_EXCEEDED", "the server did not answer in time")),
            timeoutMs,
          );
    this.#release = () => {
      signal?.removeEventListener("abort", cancel);
      clearTimeout(deadline);
    };
    stream.on("response", (headers) => {
      this.#headers = headers;
    });
    stream.on("trailers", (trailers) => {
      this.#trailers = trailers;
    });
    stream.on("error", (error) => {
      this.#fault ??= error;
    });
    stream.on("close", this.#release);
  }

  /** Sends the one request of the call. */
  endWith(request: unknown): void {
    this.#stream.end(this.#encode(request));
  }

  /** Sends the requests as fast as the server takes them, until the call ends. */
  send(requests: AsyncIterable<unknown>): void {
    const iterator = requests[Symbol.asyncIterator]();
    const stream = this.#stream;
    const closing = new Ending();
    stream.once("close", () => closing.end());
    const sendAll = async (): Promise<void> => {
      for (;;) {
        const next = await closing.unless(iterator.next());
        if (next === ended) return;
        if (next.done === true) break;
        if (stream.write(this.#encode(next.value))) continue;
        const drained = new Promise<void>((resolve) => stream.once("drain", resolve));
        if ((await closing.unless(drained)) === ended) return;
      }
      stream.end();
    };
    sendAll()
      .catch((cause: unknown) => this.#end(cause))
      // Not awaited: the source may be waiting for something that will not come any more.
      .finally(() => void iterator.return?.()?.then(undefined, () => undefined));
  }

  /** The server's messages. Throws the ServiceError that the call ended with. Leaving early cancels the call. */
  async *responses(): AsyncIterable<unknown> {
    let finished = false;
    try {
      yield* this.#messages();
      finished = true;
    } catch (cause) {
      finished = true;
      throw this.#toServiceError(cause);
    } finally {
      if (!finished) this.#end(undefined);
      this.#release();
    }
    this.#requireOk();
  }

  async *#messages(): AsyncIterable<unknown> {
    let pending: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (pending.length >= 5) {
        const length = pending.readUInt32BE(1);
        if (pending[0] !== 0 || length > maxMessageBytes) {
          this.#end(undefined);
          throw new ServiceError("REQUEST_TOO_LARGE", "the server sent a message that is compressed or too large");
        }
        if (pending.length < 5 + length) break;
        const message = pending.subarray(5, 5 + length);
        pending = pending.subarray(5 + length);
        yield fromBinary(this.#method.output, message);
      }
    }
    if (this.#fault !== undefined) throw this.#fault;
  }

  #encode(request: unknown): Buffer {
    const message = encodeMessage(this.#method.input, create(this.#method.input, request as Record<string, unknown>)); // the client's type has checked it
    const frame = Buffer.allocUnsafe(5 + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    return frame;
  }

  #end(fault: unknown): void {
    this.#fault ??= fault;
    if (!this.#stream.destroyed) {
      this.#stream.close(constants.NGHTTP2_CANCEL);
      this.#stream.destroy();
    }
  }

  #requireOk(): void {
    const metadata = this.#trailers ?? this.#headers;
    const code = Number(metadata["grpc-status"] ?? Number.NaN);
    if (code === 0) return;
    const details = metadata["grpc-status-details-bin"];
    const decoded = typeof details === "string" ? decodeStatusDetails(Buffer.from(details, "base64")) : undefined;
    if (decoded !== undefined) throw decoded;
    if (Number.isNaN(code)) throw this.#noAnswer(undefined);
    throw new ServiceError(plainReasons[code] ?? "INTERNAL", "the call failed", { status: String(code) });
  }

  #toServiceError(cause: unknown): ServiceError {
    const fault = this.#fault ?? cause;
    if (fault instanceof ServiceError) return fault;
    try {
      // A server that refuses early resets the stream after its trailers: they say why.
      if (this.#trailers !== undefined || this.#headers["grpc-status"] !== undefined) this.#requireOk();
    } catch (refusal) {
      if (refusal instanceof ServiceError) return refusal;
    }
    return this.#noAnswer(fault);
  }

  #noAnswer(cause: unknown): ServiceError {
    return this.#isUnheard()
      ? new ServiceError("CREDENTIAL_REJECTED", "the server does not take the certificate", {}, { cause })
      : new ServiceError("UNAVAILABLE", "the server cannot be reached", {}, { cause });
  }
}

/** What a bare status code of google.rpc.Code stands for. */
const plainReasons: Readonly<Record<number, Reason | undefined>> = {
  1: "CANCELLED",
  4: "DEADLINE_EXCEEDED",
  8: "LIMIT_REACHED",
  12: "METHOD_NOT_FOUND",
  14: "UNAVAILABLE",
  16: "CREDENTIAL_REJECTED",
};
