import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { Listener } from "@sandgate/api/options";
import type { Call, CallKey, Connection } from "../call.ts";
import type { ServiceError } from "../service-error.ts";

/** What a transport gives for one call. */
export interface IncomingCall {
  readonly id: string;
  readonly method: DescMethod;
  readonly listener: Listener;
  readonly connection: Connection;
  readonly deadline: number | undefined;
  header(name: string): string | undefined;
}

/** The pipeline's own view of a call: what steps see, and how the transport ends it. */
export class PipelineCall implements Call {
  readonly #incoming: IncomingCall;
  /** A handful of keys: faster to look through than a map is to make. */
  readonly #keys: CallKey<unknown>[] = [];
  readonly #values: unknown[] = [];
  #laterChecks: ((message: Message) => void)[] | undefined;
  #request: Message | undefined;
  #controller: AbortController | undefined;
  #ended: ServiceError | undefined;
  #closed = false;
  #onEnd: ((error: ServiceError) => void) | undefined;
  #cleanups: (() => void)[] | undefined;

  constructor(incoming: IncomingCall) {
    this.#incoming = incoming;
  }

  get id(): string {
    return this.#incoming.id;
  }
  get method(): DescMethod {
    return this.#incoming.method;
  }
  get listener(): Listener {
    return this.#incoming.listener;
  }
  get connection(): Connection {
    return this.#incoming.connection;
  }
  get deadline(): number | undefined {
    return this.#incoming.deadline;
  }
  header(name: string): string | undefined {
    return this.#incoming.header(name);
  }

  /** Made when first asked for: most unary calls never look at it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  get request(): Message {
    if (this.#request === undefined) throw new TypeError("the request has not been read yet");
    return this.#request;
  }
  setRequest(request: Message): void {
    this.#request = request;
  }

  find<T>(key: CallKey<T>): T | undefined {
    const index = this.#keys.indexOf(key);
    return index < 0 ? undefined : (this.#values[index] as T | undefined); // set() stores what the key's type says
  }
  get<T>(key: CallKey<T>): T {
    const value = this.find(key);
    if (value === undefined) throw new TypeError(`no step has set the call's ${key.name}`);
    return value;
  }
  set<T>(key: CallKey<T>, value: T): void {
    const index = this.#keys.indexOf(key);
    if (index >= 0) this.#values[index] = value;
    else {
      this.#keys.push(key);
      this.#values.push(value);
    }
  }

  checkLaterMessages(check: (message: Message) => void): void {
    this.#laterChecks = [...(this.#laterChecks ?? []), check];
  }
  checkLaterMessage(message: Message): void {
    for (const check of this.#laterChecks ?? []) check(message);
  }

  onDone(cleanup: () => void): void {
    if (this.#cleanups === undefined) this.#cleanups = [cleanup];
    else this.#cleanups.push(cleanup);
  }

  end(error: ServiceError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#controller?.abort(error);
    this.#onEnd?.(error);
  }

  /** The transport's part: what to do when a step or the caller ends the call early. */
  whenEnded(onEnd: (error: ServiceError) => void): void {
    this.#onEnd = onEnd;
    if (this.#ended !== undefined) onEnd(this.#ended);
  }

  /** Whether the call has been answered. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** The transport's part: the call is answered, nothing can end it any more. */
  close(): void {
    this.#closed = true;
    this.#onEnd = undefined;
    if (this.#cleanups === undefined) return;
    for (const cleanup of this.#cleanups) cleanup();
    this.#cleanups = undefined;
  }
}
