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
import type { Call } from "./call.ts";

/** The transport-neutral handler of one method. Throws ServiceError; anything else reaches the caller as INTERNAL. */
export type Handler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => Promise<MessageInitShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => AsyncIterable<MessageInitShape<O>>
          : never;

/** A handler for every method of a service. */
export type Handlers<S extends DescService> = { [K in keyof S["method"]]: Handler<S["method"][K]> };

/** A service with its handlers, ready to be mounted on listeners. */
export interface ServiceImplementation {
  readonly service: DescService;
  // biome-ignore lint/suspicious/noExplicitAny: the pairing of method and handler is checked by `implement`
  readonly handlers: Readonly<Record<string, (request: any, call: Call) => unknown>>;
}

/** Pairs a service with its handlers. A missing or wrongly typed handler does not compile. */
export function implement<S extends DescService>(service: S, handlers: Handlers<S>): ServiceImplementation {
  return { service, handlers };
}
