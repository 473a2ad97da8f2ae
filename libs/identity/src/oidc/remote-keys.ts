import type { KeyObject } from "node:crypto";

/** Keys are read anew this often. */
const REFRESH_MS = 5 * 60_000;
/** Keys that could not be read anew for this long are used no more. */
const MAX_AGE_MS = 60 * 60_000;
/** A key that is not known makes us read at most this often, whoever asks and for however many. */
const COOLDOWN_MS = 10_000;
const READ_MS = 5_000;
const FIRST_RETRY_MS = 500;
const MAX_WAITING = 100;

/** The key of a kid; "unknown" when its owner does not have it, "unavailable" when that cannot be found out now. */
export type KeyLookup<K> =
  | { readonly outcome: "found"; readonly key: K }
  | { readonly outcome: "unknown" }
  | { readonly outcome: "unavailable" };

/**
 * Somebody else's public keys, read over the network every 5 minutes. Who does not answer for an hour has no keys any more. A kid that is
 * not known makes us look once in 10 seconds at most; in between, what was read last is all there is. One reading goes on at a time.
 */
export class RemoteKeys<K extends { readonly key: KeyObject }> {
  readonly #read: (signal: AbortSignal) => Promise<ReadonlyMap<string, K>>;
  readonly #clock: () => number;
  readonly #onFault: (fault: unknown) => void;
  readonly #onChange: () => void;
  #keys: ReadonlyMap<string, K> = new Map();
  #readAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #faults = 0;
  #reading: Promise<void> | undefined;
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #stop = new AbortController();

  constructor(deps: {
    /** Must end when the signal aborts. */
    readonly read: (signal: AbortSignal) => Promise<ReadonlyMap<string, K>>;
    readonly clock: () => number;
    /** Told of the first reading in a row that failed. */
    readonly onFault: (fault: unknown) => void;
    /** Told that a key is gone or another: what was verified with it must be verified again. */
    readonly onChange: () => void;
  }) {
    this.#read = deps.read;
    this.#clock = deps.clock;
    this.#onFault = deps.onFault;
    this.#onChange = deps.onChange;
  }

  /** Begins to read, and goes on. A key owner that is away delays nobody. */
  start(): void {
    void this.#refresh();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#reading;
  }

  /** Whether there are keys that may be used. */
  isUsable(): boolean {
    return this.#clock() - this.#readAt < MAX_AGE_MS;
  }

  async find(kid: string): Promise<KeyLookup<K>> {
    const known = this.recall(kid);
    if (known !== undefined) return { outcome: "found", key: known };
    const mayRead = this.#clock() - this.#triedAt >= COOLDOWN_MS;
    if (this.#reading !== undefined || mayRead) {
      if (this.#waiting >= MAX_WAITING || this.#stop.signal.aborted) return { outcome: "unavailable" };
      this.#waiting += 1;
      await this.#refresh().finally(() => {
        this.#waiting -= 1;
      });
      const key = this.recall(kid);
      if (key !== undefined) return { outcome: "found", key };
    }
    return { outcome: this.#faults === 0 && this.isUsable() ? "unknown" : "unavailable" };
  }

  /** The key of a kid among those that were read and may be used; asks nobody. */
  recall(kid: string): K | undefined {
    return this.isUsable() ? this.#keys.get(kid) : undefined;
  }

  /** The reading that goes on, or a new one. Never rejects. */
  #refresh(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    clearTimeout(this.#timer);
    this.#triedAt = this.#clock();
    try {
      const keys = await this.#read(AbortSignal.any([this.#stop.signal, AbortSignal.timeout(READ_MS)]));
      const hasLost = [...this.#keys].some(([kid, { key }]) => keys.get(kid)?.key.equals(key) !== true);
      this.#keys = keys;
      this.#readAt = this.#clock();
      this.#faults = 0;
      if (hasLost) this.#onChange();
    } catch (fault) {
      this.#faults += 1;
      if (this.#faults === 1 && !this.#stop.signal.aborted) this.#onFault(fault);
    }
    if (this.#stop.signal.aborted) return;
    const delayMs = this.#faults === 0 ? REFRESH_MS : Math.min(FIRST_RETRY_MS * 2 ** (this.#faults - 1), COOLDOWN_MS);
    // jittered: all replicas lose and find the same provider at the same moment
    this.#timer = setTimeout(() => void this.#refresh(), delayMs * (0.8 + 0.4 * Math.random())).unref();
  }
}
