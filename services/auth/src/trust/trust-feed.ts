import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  HeartbeatSchema,
  type Revocation,
  RevocationSchema,
  SigningKeysSchema,
  TrustSnapshotSchema,
  type WatchTrustResponse,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { ServiceError } from "@sandgate/rpc";
import type { TrustEvent } from "../domain/trust-change.ts";
import type { AuthStore } from "../store/auth-store.ts";

const HEARTBEAT_MS = 1_000;
const REACH_MS = 1_000;
const MAX_QUEUE = 10_000;

interface Subscriber {
  readonly queue: WatchTrustResponse[];
  wake: () => void;
  /** Why it must begin anew; undefined while it need not. */
  fault: string | undefined;
}

/**
 * Tells everyone who listens what changed of trust, in the order of the change log. It reads the log when it is woken and once a
 * second; each reading that succeeds is a heartbeat, so that a replica without its database falls silent and trust ends.
 */
export class TrustFeed {
  readonly #store: Pick<AuthStore, "openTrust" | "readTrust" | "findSandbox" | "findUser">;
  readonly #loadKeys: () => Promise<string>;
  readonly #clock: () => number;
  readonly #onFault: (fault: unknown) => void;
  readonly #subscribers = new Set<Subscriber>();
  readonly #waiting = new Set<{ readonly sequence: bigint; readonly resolve: () => void }>();
  #sequence = 0n;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(deps: {
    readonly store: Pick<AuthStore, "openTrust" | "readTrust" | "findSandbox" | "findUser">;
    /** The published keys as they are now, as a JWK set. */
    readonly loadKeys: () => Promise<string>;
    readonly clock: () => number;
    /** Told that the log could not be read. */
    readonly onFault: (fault: unknown) => void;
  }) {
    this.#store = deps.store;
    this.#loadKeys = deps.loadKeys;
    this.#clock = deps.clock;
    this.#onFault = deps.onFault;
  }

  /** Begins at the log's end. Rejects if the log cannot be read. */
  async start(): Promise<void> {
    const { head } = await this.#store.readTrust(9_000_000_000_000_000_000n);
    this.#sequence = head;
    this.#readAt = this.#clock();
    this.#timer = setInterval(() => this.wake(), HEARTBEAT_MS).unref();
  }

  /** Ends every stream; they may be opened again at another replica. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const subscriber of this.#subscribers) end(subscriber, "the service is stopping");
    for (const { resolve } of this.#waiting) resolve();
    await this.#reading;
  }

  /** Throws when the log has not been read for 5 seconds. */
  check(): void {
    if (this.#clock() - this.#readAt > 5_000) throw new Error("the change log of trust cannot be read");
  }

  /** Reads the log now: something was written to it. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#reading !== undefined) {
      this.#again = true;
      return;
    }
    this.#reading = this.#read()
      .catch(this.#onFault)
      .finally(() => {
        this.#reading = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.wake();
      });
  }

  /** Resolves once every listener of this replica was told of that change, or after a second. */
  async reached(sequence: bigint | undefined): Promise<void> {
    if (sequence === undefined || sequence <= this.#sequence || this.#stopped) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { sequence, resolve };
    const timer = setTimeout(resolve, REACH_MS);
    this.#waiting.add(waiting);
    this.wake();
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(waiting);
  }

  /**
   * What to trust, from now on: a snapshot, or what changed after `afterSequence` where the log still has it, then every change and
   * a heartbeat a second. Ends when the signal aborts; throws UNAVAILABLE when the listener must begin anew.
   */
  async *watch(afterSequence: bigint, signal: AbortSignal): AsyncGenerator<WatchTrustResponse> {
    const subscriber: Subscriber = { queue: [], wake: () => undefined, fault: undefined };
    const wake = (): void => subscriber.wake();
    this.#subscribers.add(subscriber);
    signal.addEventListener("abort", wake);
    try {
      // subscribed first and read then: what is in both is left out below
      const opening = await this.#open(afterSequence);
      for (const response of opening.responses) yield response;
      yield heartbeat(opening.sequence);
      let last = opening.sequence;
      while (!signal.aborted) {
        if (subscriber.fault !== undefined || this.#stopped)
          throw new ServiceError("UNAVAILABLE", subscriber.fault ?? "the service is stopping");
        const next = subscriber.queue.shift();
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            subscriber.wake = resolve;
          });
        } else if (next.change.case === "heartbeat") {
          yield heartbeat(last);
        } else if (next.sequence > last) {
          last = next.sequence;
          yield next;
        }
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.#subscribers.delete(subscriber);
    }
  }

  async #open(afterSequence: bigint): Promise<{ sequence: bigint; responses: readonly WatchTrustResponse[] }> {
    try {
      const opening = await this.#store.openTrust(afterSequence, this.#clock());
      // behind the log: a change of the keys up to this sequence is not told again
      const jwksJson = await this.#loadKeys();
      if (opening.kind === "snapshot")
        return { sequence: opening.sequence, responses: [snapshot(opening.sequence, opening.revocations, jwksJson)] };
      const keys = create(WatchTrustResponseSchema, {
        sequence: opening.sequence,
        change: { case: "signingKeys", value: create(SigningKeysSchema, { jwksJson }) },
      });
      const responses = await Promise.all(opening.events.map((event) => this.#describe(event)));
      return { sequence: opening.sequence, responses: [...responses, keys] };
    } catch (cause) {
      throw new ServiceError("UNAVAILABLE", "the change log of trust cannot be read", {}, { cause });
    }
  }

  async #describe(event: TrustEvent): Promise<WatchTrustResponse> {
    const change = await this.#changeOf(event);
    return create(WatchTrustResponseSchema, { sequence: event.sequence, change });
  }

  async #changeOf(event: TrustEvent): Promise<Exclude<WatchTrustResponse["change"], { case: undefined }>> {
    switch (event.kind) {
      case "revocation":
        return { case: "revocation", value: toRevocation(event) };
      case "sandbox": {
        const value = await this.#store.findSandbox(event.subject);
        if (value === undefined) throw new Error("a sandbox of the change log is not in the register");
        return { case: "sandbox", value };
      }
      case "user": {
        const value = await this.#store.findUser(event.subject);
        if (value === undefined) throw new Error("a user of the change log is not in the register");
        return { case: "user", value };
      }
      case "signing_keys":
        return { case: "signingKeys", value: create(SigningKeysSchema, { jwksJson: await this.#loadKeys() }) };
    }
  }

  async #read(): Promise<void> {
    for (;;) {
      const { head, events } = await this.#store.readTrust(this.#sequence);
      if (head < this.#sequence) {
        // the database was put back to an earlier time: nobody's knowledge is good any more
        this.#sequence = head;
        for (const subscriber of this.#subscribers) end(subscriber, "the change log has gone back");
      }
      for (const event of events) {
        this.#publish(await this.#describe(event));
        this.#sequence = event.sequence;
      }
      if (events.length === 0 || this.#sequence >= head) break;
    }
    this.#readAt = this.#clock();
    this.#publish(heartbeat(this.#sequence));
    for (const waiting of this.#waiting) if (waiting.sequence <= this.#sequence) waiting.resolve();
  }

  #publish(response: WatchTrustResponse): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.queue.length >= MAX_QUEUE) end(subscriber, "the listener is too slow");
      else subscriber.queue.push(response);
      subscriber.wake();
    }
  }
}

function end(subscriber: Subscriber, fault: string): void {
  subscriber.fault = fault;
  subscriber.wake();
}

function snapshot(sequence: bigint, revocations: readonly TrustEvent[], jwksJson: string): WatchTrustResponse {
  const value = create(TrustSnapshotSchema, {
    signingKeys: { jwksJson },
    revocations: revocations.flatMap((event) => (event.kind === "revocation" ? [toRevocation(event)] : [])),
  });
  return create(WatchTrustResponseSchema, { sequence, change: { case: "snapshot", value } });
}

function heartbeat(sequence: bigint): WatchTrustResponse {
  return create(WatchTrustResponseSchema, { sequence, change: { case: "heartbeat", value: create(HeartbeatSchema) } });
}

function toRevocation(event: Extract<TrustEvent, { kind: "revocation" }>): Revocation {
  return create(RevocationSchema, {
    kind: event.revocationKind,
    subject: event.subject,
    expireTime: timestampFromMs(event.expiresAtMs),
    ...(event.issuedBeforeMs === undefined ? {} : { issuedBefore: timestampFromMs(event.issuedBeforeMs) }),
  });
}
