import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

/** What a caller may say about one call. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default 10,000 for unary calls and none for streams. */
  readonly timeoutMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One method of a client. Failures are ServiceErrors with the server's reason, message and metadata. */
export type ClientMethod<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
          : never;

/** A typed client of a service. */
export type Client<S extends DescService> = { [K in keyof S["method"]]: ClientMethod<S["method"][K]> };

/** A way to a server: a gRPC connection, or the pipeline of a module in the same process. */
export interface Channel {
  unary(method: DescMethod, request: unknown, options: CallOptions): Promise<unknown>;
  serverStream(method: DescMethod, request: unknown, options: CallOptions): AsyncIterable<unknown>;
  clientStream(method: DescMethod, requests: AsyncIterable<unknown>, options: CallOptions): Promise<unknown>;
  bidiStream(method: DescMethod, requests: AsyncIterable<unknown>, options: CallOptions): AsyncIterable<unknown>;
  close(): void;
}

/** Makes a typed client of a service on a channel. */
export function createClient<S extends DescService>(service: S, channel: Channel): Client<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) {
    switch (method.methodKind) {
      case "unary":
        client[method.localName] = (request: unknown, options: CallOptions = {}) =>
          channel.unary(method, request, options);
        break;
      case "server_streaming":
        client[method.localName] = (request: unknown, options: CallOptions = {}) =>
          channel.serverStream(method, request, options);
        break;
      case "client_streaming":
        client[method.localName] = (requests: AsyncIterable<unknown>, options: CallOptions = {}) =>
          channel.clientStream(method, requests, options);
        break;
      case "bidi_streaming":
        client[method.localName] = (requests: AsyncIterable<unknown>, options: CallOptions = {}) =>
          channel.bidiStream(method, requests, options);
        break;
    }
  }
  return client as Client<S>; // every method of the descriptor was given its typed counterpart above
}
