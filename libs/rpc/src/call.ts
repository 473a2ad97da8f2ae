import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { Listener } from "@sandgate/api/options";
import type { ServiceError } from "./service-error.ts";

/** The connection that carries a call. One object for each connection, so that facts about it can be kept in a WeakMap. */
export interface Connection {
  /** "web": gRPC-Web, Connect or JSON over HTTP/1.1 or HTTP/2; a browser's page may be behind it. */
  readonly transport: "tcp" | "unix" | "web" | "in-process";
  /** The client's certificate, DER, only where TLS verified it. */
  readonly certificate?: Uint8Array;
  /** In process only: the peer's SPIFFE id, which the composition root vouches for. */
  readonly inProcessPeer?: string;
  /** The client's address; empty for Unix sockets and in process, or where it is not known. */
  readonly remoteAddress: string;
  /** The connection that carries it, where a gateway relays: this one is then what the gateway says of its own client. */
  readonly relay?: Connection;
  /** Ends the connection once its open calls are done. */
  drain(): void;
  /** Calls `listener` once, when the connection has ended. */
  onClose(listener: () => void): void;
}

/** Names a value that one step of the pipeline leaves for the next steps and the handler. */
export interface CallKey<T> {
  readonly name: string;
  /** Never present; carries the type. */
  readonly value?: T;
}

/** Makes a key. Two keys of one name are two keys. */
export function createCallKey<T>(name: string): CallKey<T> {
  return { name };
}

/** One call on its way through the pipeline, whatever the transport. */
export interface Call {
  /** Unique; in every log line and, for INTERNAL, in the error's metadata. */
  readonly id: string;
  readonly method: DescMethod;
  readonly listener: Listener;
  readonly connection: Connection;
  /** Aborts when the caller cancels, the deadline passes or a step ends the call. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch, if the caller set one. */
  readonly deadline: number | undefined;
  /** The request; for client and bidirectional streams the first message. */
  readonly request: Message;
  /** The value of a request header (lower-case name); undefined when absent. Throws REQUEST_MALFORMED when it was sent twice. */
  header(name: string): string | undefined;
  /** What a step left under a key; undefined if none did. */
  find<T>(key: CallKey<T>): T | undefined;
  /** What a step left under a key; throws if none did. */
  get<T>(key: CallKey<T>): T;
  set<T>(key: CallKey<T>, value: T): void;
  /** Calls `check` with every request message after the first; what it throws ends the call. */
  checkLaterMessages(check: (message: Message) => void): void;
  /** Calls `cleanup` once, when the call has been answered or ended. */
  onDone(cleanup: () => void): void;
  /** Ends the call with this error now, also in the middle of a stream. */
  end(error: ServiceError): void;
}

/**
 * One step of the pipeline before the handler: returns to admit the call, throws a ServiceError to refuse it.
 * Steps run in order; each says in one sentence why it stands where it stands.
 */
export type Step = (call: Call) => Promise<void> | void;
