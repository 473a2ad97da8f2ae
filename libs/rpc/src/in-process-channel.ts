import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import type { Connection } from "./call.ts";
import type { CallOptions, Channel } from "./client.ts";
import type { Pipeline, ResponseSink, Route } from "./pipeline/pipeline.ts";
import type { IncomingCall } from "./pipeline/pipeline-call.ts";
import { repeatedHeaderError } from "./repeated-headers.ts";
import { ServiceError } from "./service-error.ts";
import { encodeMessage } from "./wire/encode-message.ts";

/** What a caller in front of the pipeline may say about one call. */
export interface PipelineCallOptions extends CallOptions {
  /** Names (lower case) of headers that came more than once: who reads one is refused. */
  readonly repeatedHeaders?: ReadonlySet<string>;
}

/**
 * A channel to a pipeline in the same process: every call is encoded, goes through the whole pipeline as one of `connection`,
 * and is decoded again, so that a caller cannot tell it from a remote one.
 */
export function createPipelineChannel(options: {
  /** Asked at every call: the pipeline may be built after the channel. */
  readonly pipeline: () => Pipeline;
  readonly connection: Connection;
  /** Of unary calls that say nothing else. Default none. */
  readonly unaryTimeoutMs?: number;
  readonly newCallId: () => string;
}): Channel {
  const { connection } = options;
  const incoming = (method: DescMethod, call: PipelineCallOptions, defaultTimeoutMs?: number): IncomingCall => {
    const timeoutMs = call.timeoutMs ?? defaultTimeoutMs;
    return {
      id: options.newCallId(),
      method,
      listener: options.pipeline().listener,
      connection,
      deadline: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
      header: (name) => {
        if (call.repeatedHeaders?.has(name) === true) throw repeatedHeaderError(name);
        return call.headers?.[name];
      },
    };
  };
  const routeOf = (method: DescMethod): Route => {
    const route = options.pipeline().routes.get(`/${method.parent.typeName}/${method.name}`);
    if (route === undefined) throw new ServiceError("METHOD_NOT_FOUND", "no such method on this listener");
    return route;
  };

  const unaryLike = (
    method: DescMethod,
    call: CallOptions,
    start: (
      pipeline: Pipeline,
      route: Route,
      respond: (error: ServiceError | undefined, bytes: Uint8Array) => void,
    ) => { end(error: ServiceError): void },
  ): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const running = start(options.pipeline(), routeOf(method), (error, bytes) => {
        release();
        if (error === undefined) resolve(fromBinary(method.output, bytes));
        else reject(asReceived(error));
      });
      const release = follow(running, call);
    });

  const streamLike = async function* (
    method: DescMethod,
    call: CallOptions,
    start: (pipeline: Pipeline, route: Route, sink: ResponseSink) => { end(error: ServiceError): void },
  ): AsyncGenerator<unknown> {
    // One message at a time: the handler goes on when the caller has taken the last one.
    const queue: Uint8Array[] = [];
    let ended: { error: ServiceError | undefined } | undefined;
    let wake: () => void = () => {};
    let taken: () => void = () => {};
    const running = start(options.pipeline(), routeOf(method), {
      write: (bytes) => {
        queue.push(bytes);
        wake();
        return new Promise<void>((resolve) => {
          taken = resolve;
        });
      },
      end: (error) => {
        ended = { error };
        wake();
        taken();
      },
    });
    const release = follow(running, call);
    try {
      for (;;) {
        const bytes = queue.shift();
        if (bytes !== undefined) {
          taken();
          yield fromBinary(method.output, bytes);
        } else if (ended !== undefined) {
          if (ended.error !== undefined) throw asReceived(ended.error);
          return;
        } else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      release();
      running.end(new ServiceError("CANCELLED", "the caller has gone away"));
    }
  };

  return {
    unary: (method, request, call) =>
      unaryLike(method, call, (pipeline, route, respond) =>
        pipeline.unary(route, incoming(method, call, options.unaryTimeoutMs), encode(method, request), respond),
      ),
    clientStream: (method, requests, call) =>
      unaryLike(method, call, (pipeline, route, respond) =>
        pipeline.clientStream(route, incoming(method, call), encodeAll(method, requests), respond),
      ),
    serverStream: (method, request, call) =>
      streamLike(method, call, (pipeline, route, sink) =>
        pipeline.serverStream(route, incoming(method, call), encode(method, request), sink),
      ),
    bidiStream: (method, requests, call) =>
      streamLike(method, call, (pipeline, route, sink) =>
        pipeline.bidiStream(route, incoming(method, call), encodeAll(method, requests), sink),
      ),
    close: () => {},
  };
}

/** A channel for a module of the same process: its calls are those of the peer that the composition root vouches for. */
export function createInProcessChannel(options: {
  /** Asked at every call: the pipeline may be built after the channel. */
  readonly pipeline: () => Pipeline;
  /** The SPIFFE id of the calling service. */
  readonly peer: string;
  readonly newCallId: () => string;
}): Channel {
  return createPipelineChannel({
    ...options,
    unaryTimeoutMs: 10_000,
    connection: {
      transport: "in-process",
      inProcessPeer: options.peer,
      remoteAddress: "",
      drain: () => {},
      onClose: () => {},
    },
  });
}

/** What a remote caller would see: reason, message and metadata, never the cause. */
function asReceived(error: ServiceError): ServiceError {
  return new ServiceError(error.reason, error.message, error.metadata);
}

function follow(
  running: { end(error: ServiceError): void },
  call: CallOptions & { readonly timeoutMs?: number },
): () => void {
  const onAbort = (): void => running.end(new ServiceError("CANCELLED", "the caller has cancelled the call"));
  if (call.signal?.aborted === true) onAbort();
  call.signal?.addEventListener("abort", onAbort, { once: true });
  const timer =
    call.timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => running.end(new ServiceError("DEADLINE_EXCEEDED", "the deadline has passed")),
          call.timeoutMs,
        ).unref();
  return () => {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", onAbort);
  };
}

function encode(method: DescMethod, request: unknown): Uint8Array {
  return encodeMessage(method.input, create(method.input, request as Record<string, unknown>)); // the client's type has checked it
}

async function* encodeAll(method: DescMethod, requests: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const request of requests) yield encode(method, request);
}
