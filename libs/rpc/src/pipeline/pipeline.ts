import type { DescMethod } from "@bufbuild/protobuf";
import { create, fromBinary, type Message } from "@bufbuild/protobuf";
import type { Listener } from "@sandgate/api/options";
import type { Call, Step } from "../call.ts";
import type { ServiceImplementation } from "../handler.ts";
import { ServiceError } from "../service-error.ts";
import { encodeMessage } from "../wire/encode-message.ts";
import { toServiceError } from "./errors.ts";
import { isExposed } from "./exposure.ts";
import type { CallObserver } from "./observe.ts";
import { type IncomingCall, PipelineCall } from "./pipeline-call.ts";

/** The largest message that is taken, in bytes. */
export const maxMessageBytes = 4 * 1024 * 1024;

/** A method as mounted on one listener. */
export interface Route {
  readonly path: string;
  readonly method: DescMethod;
  // biome-ignore lint/suspicious/noExplicitAny: the pairing of method and handler is checked by `implement`
  readonly handler: (request: any, call: Call) => unknown;
  /** Without steps: health and reflection, which are the same for everybody. */
  readonly open: boolean;
}

/** What every call of a listener goes through. */
export interface PipelineOptions {
  readonly listener: Listener;
  readonly services: readonly ServiceImplementation[];
  /** Services that anybody may call on this listener, without steps. */
  readonly openServices?: readonly ServiceImplementation[];
  readonly steps: readonly Step[];
  readonly observe?: CallObserver | undefined;
}

/** Ends a unary call: an error, or the encoded response. */
export type Respond = (error: ServiceError | undefined, response: Uint8Array) => void;

/** Where the responses of a stream go. `write` resolves when the transport wants more. */
export interface ResponseSink {
  write(message: Uint8Array): Promise<void> | void;
  end(error: ServiceError | undefined): void;
}

const nothing = new Uint8Array(0);

/**
 * The one way of every call, on any transport: errors -> observe -> deadline (the transport's) -> exposure -> steps -> handler.
 * Building it fails when a method has no access option or a service has no handler for a method.
 */
export class Pipeline {
  readonly routes: ReadonlyMap<string, Route>;
  readonly listener: Listener;
  readonly #steps: readonly Step[];
  readonly #observe: CallObserver;

  constructor(options: PipelineOptions) {
    this.listener = options.listener;
    this.#steps = options.steps;
    this.#observe = options.observe ?? (() => {});
    const routes = new Map<string, Route>();
    for (const [services, open] of [
      [options.services, false],
      [options.openServices ?? [], true],
    ] as const)
      for (const { service, handlers } of services)
        for (const method of service.methods) {
          const handler = handlers[method.localName];
          if (handler === undefined) throw new TypeError(`${service.typeName}.${method.name} has no handler`);
          if (!open && !isExposed(method, options.listener)) continue;
          const path = `/${service.typeName}/${method.name}`;
          if (routes.has(path)) throw new TypeError(`${path} is mounted twice`);
          routes.set(path, { path, method, handler, open });
        }
    this.routes = routes;
  }

  /** Runs a unary call. `respond` is called exactly once. */
  unary(route: Route, incoming: IncomingCall, request: Uint8Array, respond: Respond): PipelineCall {
    const call = new PipelineCall(incoming);
    const finish = this.#finisher(route, call, respond);
    call.whenEnded((error) => finish(error, nothing));
    void this.#runUnary(route, call, request, finish);
    return call;
  }

  /** Runs a server-streaming call. `sink.end` is called exactly once, and nothing is written after it. */
  serverStream(route: Route, incoming: IncomingCall, request: Uint8Array, sink: ResponseSink): PipelineCall {
    const call = new PipelineCall(incoming);
    const finish = this.#finisher(route, call, (error) => sink.end(error));
    call.whenEnded((error) => finish(error, nothing));
    void this.#runServerStream(route, call, request, sink, finish);
    return call;
  }

  /** Runs a client-streaming call. `respond` is called exactly once. */
  clientStream(
    route: Route,
    incoming: IncomingCall,
    requests: AsyncIterable<Uint8Array>,
    respond: Respond,
  ): PipelineCall {
    const call = new PipelineCall(incoming);
    const finish = this.#finisher(route, call, respond);
    call.whenEnded((error) => finish(error, nothing));
    void this.#runClientStream(route, call, requests, finish);
    return call;
  }

  /** Runs a bidirectional call. `sink.end` is called exactly once, and nothing is written after it. */
  bidiStream(
    route: Route,
    incoming: IncomingCall,
    requests: AsyncIterable<Uint8Array>,
    sink: ResponseSink,
  ): PipelineCall {
    const call = new PipelineCall(incoming);
    const finish = this.#finisher(route, call, (error) => sink.end(error));
    call.whenEnded((error) => finish(error, nothing));
    void this.#runBidiStream(route, call, requests, sink, finish);
    return call;
  }

  #finisher(route: Route, call: PipelineCall, answer: Respond): Respond {
    const start = performance.now();
    return (error, response) => {
      if (call.isClosed) return;
      call.close();
      answer(error, response);
      this.#observe({
        call,
        method: route.method,
        listener: this.listener,
        outcome: error === undefined ? "OK" : error.reason,
        durationMs: performance.now() - start,
        cause: error?.cause,
      });
      // The handler may still be at work for nobody: tell it.
      if (error !== undefined) call.end(error);
    };
  }

  async #admit(call: PipelineCall): Promise<void> {
    for (const step of this.#steps) {
      const pending = step(call);
      if (pending !== undefined) await pending; // most steps answer at once; awaiting those too costs a tick each
    }
  }

  async #runUnary(route: Route, call: PipelineCall, request: Uint8Array, finish: Respond): Promise<void> {
    try {
      const message = parse(route.method, request);
      call.setRequest(message);
      if (!route.open) await this.#admit(call);
      finish(undefined, encode(route.method, await route.handler(message, call)));
    } catch (thrown) {
      finish(toServiceError(thrown, call.id), nothing);
    }
  }

  async #runServerStream(
    route: Route,
    call: PipelineCall,
    request: Uint8Array,
    sink: ResponseSink,
    finish: Respond,
  ): Promise<void> {
    try {
      const message = parse(route.method, request);
      call.setRequest(message);
      if (!route.open) await this.#admit(call);
      await pump(route, route.handler(message, call) as AsyncIterable<unknown>, sink, call);
      finish(undefined, nothing);
    } catch (thrown) {
      finish(toServiceError(thrown, call.id), nothing);
    }
  }

  async #runClientStream(
    route: Route,
    call: PipelineCall,
    requests: AsyncIterable<Uint8Array>,
    finish: Respond,
  ): Promise<void> {
    try {
      const messages = await this.#open(route, call, requests);
      finish(undefined, encode(route.method, await route.handler(messages, call)));
    } catch (thrown) {
      finish(toServiceError(thrown, call.id), nothing);
    }
  }

  async #runBidiStream(
    route: Route,
    call: PipelineCall,
    requests: AsyncIterable<Uint8Array>,
    sink: ResponseSink,
    finish: Respond,
  ): Promise<void> {
    try {
      const messages = await this.#open(route, call, requests);
      await pump(route, route.handler(messages, call) as AsyncIterable<unknown>, sink, call);
      finish(undefined, nothing);
    } catch (thrown) {
      finish(toServiceError(thrown, call.id), nothing);
    }
  }

  /** Reads the first message, admits the call by it, and hands on all messages, each later one checked. */
  async #open(route: Route, call: PipelineCall, requests: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Message>> {
    const iterator = requests[Symbol.asyncIterator]();
    const first = await iterator.next();
    // A stream without a message is judged as one with an empty message: it names nothing and so reaches nothing.
    const message = first.done === true ? create(route.method.input) : parse(route.method, first.value);
    call.setRequest(message);
    if (!route.open) await this.#admit(call);
    return (async function* () {
      try {
        if (first.done === true) return;
        yield message;
        for (;;) {
          const next = await iterator.next();
          if (next.done === true) return;
          const later = parse(route.method, next.value);
          try {
            call.checkLaterMessage(later);
          } catch (thrown) {
            const error = toServiceError(thrown, call.id);
            call.end(error); // the handler must not outlive the refusal by catching it
            throw error;
          }
          yield later;
        }
      } finally {
        await iterator.return?.();
      }
    })();
  }
}

async function pump(
  route: Route,
  responses: AsyncIterable<unknown>,
  sink: ResponseSink,
  call: PipelineCall,
): Promise<void> {
  for await (const response of responses) {
    if (call.isClosed) return;
    const pending = sink.write(encode(route.method, response));
    if (pending !== undefined) await pending;
    if (call.isClosed) return;
  }
}

function parse(method: DescMethod, bytes: Uint8Array): Message {
  if (bytes.byteLength > maxMessageBytes)
    throw new ServiceError("REQUEST_TOO_LARGE", "the message is too large", { limit_bytes: String(maxMessageBytes) });
  if (bytes.byteLength === 0) return create(method.input);
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    throw new ServiceError(
      "REQUEST_MALFORMED",
      "the message cannot be parsed",
      { type: method.input.typeName },
      { cause },
    );
  }
}

function encode(method: DescMethod, response: unknown): Uint8Array {
  // `implement` has checked that the handler answers with an initializer of the method's output.
  return encodeMessage(method.output, create(method.output, response as Record<string, unknown>));
}
