import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { Client, experimental, type CallOptions as GrpcCallOptions, Metadata, status } from "@grpc/grpc-js";
import type { CallOptions, Channel } from "../client.ts";
import { Ending, ended } from "../ending.ts";
import { maxMessageBytes } from "../pipeline/pipeline.ts";
import { type Reason, ServiceError } from "../service-error.ts";
import { decodeStatusDetails, statusDetailsKey } from "../status-details.ts";
import { encodeMessage } from "../wire/encode-message.ts";
import type { CertificateStore } from "./certificate-store.ts";

/** Where a channel leads and what it shows there. */
export interface GrpcChannelOptions {
  /**
   * "127.0.0.1:7444", "dns:///auth.example:7444" or "unix:/path"; or the replicas of one service, each an IP address with its port: the
   * first that can be reached is used until it is lost.
   */
  readonly address: string | readonly string[];
  /** The DNS name that the server's certificate must carry. */
  readonly serverName: string;
  /** Whom to trust; with certificate and key the client shows them. Each new connection uses what the store holds then. */
  readonly certificates: CertificateStore;
  /** Read at every call, so that a credential can change under an open channel. */
  readonly headers?: () => Readonly<Record<string, string>>;
}

const unaryTimeoutMs = 10_000;

/** Opens a gRPC connection, lazily; it reconnects by itself with growing, jittered delays of about 100 ms at most. */
export function createGrpcChannel(options: GrpcChannelOptions): Channel {
  const client = new Client(
    targetOf(options.address),
    experimental.createCertificateProviderChannelCredentials(
      options.certificates,
      options.certificates.hasIdentity ? options.certificates : null,
    ),
    {
      "grpc.ssl_target_name_override": options.serverName,
      "grpc.default_authority": options.serverName,
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.min_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 100, // services alone open these: they are few, and nothing is accepted while Auth is not heard
      "grpc.enable_retries": 0,
      "grpc.enable_channelz": 0,
      "grpc.service_config_disable_resolution": 1,
      // a replica that hangs is left for another before trust, which lasts 10 s, has ended
      "grpc.keepalive_time_ms": typeof options.address === "string" ? 30_000 : 4_000,
      "grpc.keepalive_timeout_ms": typeof options.address === "string" ? 10_000 : 4_000,
    },
  );

  const metadataOf = (call: CallOptions): Metadata => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(options.headers?.() ?? {})) metadata.set(name, value);
    for (const [name, value] of Object.entries(call.headers ?? {})) metadata.set(name, value);
    return metadata;
  };

  return {
    unary: (method, request, call) =>
      new Promise((resolve, reject) => {
        const running = client.makeUnaryRequest(
          pathOf(method),
          asBuffer,
          fromBuffer,
          encode(method, request),
          metadataOf(call),
          grpcOptions(call, unaryTimeoutMs),
          (error, response) => {
            settle();
            if (error !== null) reject(toServiceError(error));
            else if (response !== undefined) resolve(fromBinary(method.output, response));
          },
        );
        const settle = followSignal(call.signal, () => running.cancel());
      }),

    serverStream: async function* (method, request, call) {
      const running = client.makeServerStreamRequest(
        pathOf(method),
        asBuffer,
        fromBuffer,
        encode(method, request),
        metadataOf(call),
        grpcOptions(call, undefined),
      );
      const settle = followSignal(call.signal, () => running.cancel());
      try {
        for await (const response of running) yield fromBinary(method.output, response as Uint8Array);
      } catch (thrown) {
        throw toServiceError(thrown);
      } finally {
        settle();
        running.cancel();
      }
    },

    clientStream: async (method, requests, call) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const running = client.makeClientStreamRequest(
        pathOf(method),
        asBuffer,
        fromBuffer,
        metadataOf(call),
        grpcOptions(call, undefined),
        (error, response) => {
          if (error !== null) reject(toServiceError(error));
          else if (response !== undefined) resolve(fromBinary(method.output, response));
        },
      );
      const settle = followSignal(call.signal, () => running.cancel());
      const sending = send(method, requests, running);
      sending.catch((thrown: unknown) => {
        running.cancel();
        reject(toServiceError(thrown));
      });
      try {
        return await promise;
      } finally {
        settle();
      }
    },

    bidiStream: async function* (method, requests, call) {
      const running = client.makeBidiStreamRequest(
        pathOf(method),
        asBuffer,
        fromBuffer,
        metadataOf(call),
        grpcOptions(call, undefined),
      );
      const settle = followSignal(call.signal, () => running.cancel());
      let sendFault: unknown;
      send(method, requests, running).catch((thrown: unknown) => {
        sendFault = thrown;
        running.cancel();
      });
      try {
        for await (const response of running) yield fromBinary(method.output, response as Uint8Array);
      } catch (thrown) {
        throw toServiceError(sendFault ?? thrown);
      } finally {
        settle();
        running.cancel();
      }
    },

    close: () => client.close(),
  };
}

/** What grpc-js calls the address: several of one IP family, in the order in which they are tried, are one target. */
function targetOf(address: string | readonly string[]): string {
  if (typeof address === "string") return address;
  const family = address[0]?.startsWith("[") ? "ipv6" : "ipv4";
  return `${family}:${address.join(",")}`;
}

interface RequestStream {
  write(message: Uint8Array): boolean;
  end(): unknown;
  once(event: "drain" | "close" | "status" | "error", listener: () => void): unknown;
  removeListener(event: "drain" | "close" | "status" | "error", listener: () => void): unknown;
}

/** Sends the requests as fast as the server takes them; stops when the call has ended. */
async function send(method: DescMethod, requests: AsyncIterable<unknown>, running: RequestStream): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]();
  const ending = new Ending();
  const onEnd = (): void => ending.end();
  for (const event of ["close", "status", "error"] as const) running.once(event, onEnd);
  try {
    for (;;) {
      const next = await ending.unless(iterator.next());
      if (next === ended) return;
      if (next.done === true) break;
      if (!running.write(encode(method, next.value))) {
        const drained = Promise.withResolvers<void>();
        running.once("drain", drained.resolve);
        const outcome = await ending.unless(drained.promise);
        running.removeListener("drain", drained.resolve);
        if (outcome === ended) return;
      }
    }
    running.end();
  } finally {
    // Not awaited: the iterator may be waiting for something that will not come any more.
    void iterator.return?.()?.then(undefined, () => undefined);
  }
}

/** Cancels when the signal aborts. Answers how to stop following it. */
function followSignal(signal: AbortSignal | undefined, cancel: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}

function grpcOptions(call: CallOptions, defaultTimeoutMs: number | undefined): GrpcCallOptions {
  const timeoutMs = call.timeoutMs ?? defaultTimeoutMs;
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encode(method: DescMethod, request: unknown): Uint8Array {
  return encodeMessage(method.input, create(method.input, request as Record<string, unknown>)); // the client's type has checked it
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fromBuffer(bytes: Buffer): Uint8Array {
  return bytes;
}

const plainReasons: Readonly<Record<number, Reason | undefined>> = {
  [status.CANCELLED]: "CANCELLED",
  [status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [status.UNAVAILABLE]: "UNAVAILABLE",
  [status.UNIMPLEMENTED]: "METHOD_NOT_FOUND",
  [status.RESOURCE_EXHAUSTED]: "LIMIT_REACHED",
  [status.UNAUTHENTICATED]: "CREDENTIAL_REJECTED",
};

const plainMessages: Partial<Record<Reason, string>> = {
  CANCELLED: "the call was cancelled",
  DEADLINE_EXCEEDED: "the server did not answer in time",
  UNAVAILABLE: "the server cannot be reached",
  METHOD_NOT_FOUND: "the server has no such method on this listener",
  LIMIT_REACHED: "a limit of the server was reached",
  CREDENTIAL_REJECTED: "the credential was rejected",
};

/** The server's ServiceError, or one that says what the transport met. */
function toServiceError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown;
  const { code, metadata } = thrown as { code?: unknown; metadata?: unknown };
  if (metadata instanceof Metadata) {
    const details = metadata.get(statusDetailsKey)[0];
    const decoded = Buffer.isBuffer(details) ? decodeStatusDetails(details) : undefined;
    if (decoded !== undefined) return decoded;
  }
  const reason = (typeof code === "number" ? plainReasons[code] : undefined) ?? "INTERNAL";
  return new ServiceError(reason, plainMessages[reason] ?? "the call failed", {}, { cause: thrown });
}
