import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  Message,
} from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ContextValues,
  createConnectRouter,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import type { Channel } from "../client.ts";
import type { PipelineCallOptions } from "../in-process-channel.ts";
import { maxMessageBytes, type Pipeline } from "../pipeline/pipeline.ts";
import { fromOwnError, toConnectError } from "./connect-error.ts";

/** What the HTTP request of a call gives, beside the messages. */
export interface WebCall {
  /** The way to the pipeline, as a call of the request's connection. */
  readonly channel: Channel;
  readonly headers: Readonly<Record<string, string>>;
  /** Names (lower case) of header fields that were sent more than once. */
  readonly repeatedHeaders: ReadonlySet<string>;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  /** To be called when the first message has been read. */
  read(): void;
}

const webCallKey = createContextKey<WebCall | undefined>(undefined, { description: "web call" });

/** Leaves what the handlers need where they look for it. */
export function setWebCall(values: ContextValues, call: WebCall): void {
  values.set(webCallKey, call);
}

/**
 * A handler of gRPC-Web, Connect and JSON for every method of a pipeline, by path. Bytes are never compressed: nothing can be
 * inflated here, and lengths tell nothing about secrets beside what a caller chose. JSON with unknown fields is refused: a
 * misspelt field must not pass for one that was left out.
 */
export function createWebHandlers(pipeline: Pipeline): ReadonlyMap<string, UniversalHandlerFn> {
  const router = createConnectRouter({
    grpc: false,
    acceptCompression: [],
    readMaxBytes: maxMessageBytes,
    jsonOptions: { ignoreUnknownFields: false },
  });
  for (const { method } of pipeline.routes.values()) mount(router, method);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

function mount(router: ConnectRouter, method: DescMethod): void {
  // The casts of methods say what the kind has told; those of responses, that the channel has decoded them as the method's output.
  switch (method.methodKind) {
    case "unary":
      router.rpc(method as DescMethodUnary, (request, context) => {
        const { channel, options, read } = callOf(context);
        read();
        return translated(channel.unary(method, request, options));
      });
      break;
    case "server_streaming":
      router.rpc(method as DescMethodServerStreaming, (request, context) => {
        const { channel, options, read } = callOf(context);
        read();
        return translatedEach(channel.serverStream(method, request, options));
      });
      break;
    case "client_streaming":
      router.rpc(method as DescMethodClientStreaming, (requests, context) => {
        const { channel, options, read } = callOf(context);
        return translated(channel.clientStream(method, received(requests, read), options));
      });
      break;
    case "bidi_streaming":
      router.rpc(method as DescMethodBiDiStreaming, (requests, context) => {
        const { channel, options, read } = callOf(context);
        return translatedEach(channel.bidiStream(method, received(requests, read), options));
      });
      break;
  }
}

function callOf(context: HandlerContext): { channel: Channel; options: PipelineCallOptions; read: () => void } {
  const call = context.values.get(webCallKey);
  if (call === undefined) throw new TypeError("a call without its request");
  const timeoutMs = context.timeoutMs();
  return {
    channel: call.channel,
    options: {
      headers: call.headers,
      repeatedHeaders: call.repeatedHeaders,
      signal: call.signal,
      ...(timeoutMs !== undefined && { timeoutMs }),
    },
    read: () => call.read(),
  };
}

async function translated(response: Promise<unknown>): Promise<Message> {
  try {
    return (await response) as Message;
  } catch (thrown) {
    throw toConnectError(thrown);
  }
}

async function* translatedEach(responses: AsyncIterable<unknown>): AsyncGenerator<Message> {
  try {
    for await (const response of responses) yield response as Message;
  } catch (thrown) {
    throw toConnectError(thrown);
  }
}

/** The requests of a stream; what Connect could not read of it is refused in our words. */
async function* received(requests: AsyncIterable<Message>, read: () => void): AsyncGenerator<Message> {
  try {
    for await (const request of requests) {
      read();
      yield request;
    }
    read();
  } catch (thrown) {
    throw fromOwnError(thrown);
  }
}
