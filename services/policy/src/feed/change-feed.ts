import { ServiceError } from "@sandgate/rpc";

/** Tells one watcher that there is something new to read. */
export interface ChangeSubscription {
  /**
   * Resolves when a topic was announced since the last call, or since the subscription, or when nothing was for `timeoutMs`; default:
   * for ever. Announcements that came meanwhile count as one. Rejects with the signal's reason when it aborts, and with UNAVAILABLE
   * when the feed stops.
   */
  next(signal: AbortSignal, timeoutMs?: number): Promise<void>;
  /** Ends the subscription; must be called. */
  close(): void;
}

/**
 * Wakes those who wait for a topic to change. It carries no data: a watcher reads the newest state when it is ready for
 * it, so that a slow one holds nothing in memory and sees what is, not all that was.
 */
export class ChangeFeed {
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  #stopped = false;

  subscribe(...topics: readonly string[]): ChangeSubscription {
    const subscription = new Subscription(() => {
      for (const topic of topics) {
        const others = this.#subscriptions.get(topic);
        others?.delete(subscription);
        if (others?.size === 0) this.#subscriptions.delete(topic);
      }
    });
    for (const topic of topics) {
      const others = this.#subscriptions.get(topic);
      if (others === undefined) this.#subscriptions.set(topic, new Set([subscription]));
      else others.add(subscription);
    }
    if (this.#stopped) subscription.stop();
    return subscription;
  }

  announce(topics: Iterable<string>): void {
    for (const topic of topics) for (const subscription of this.#subscriptions.get(topic) ?? []) subscription.wake();
  }

  /** For when announcements may have been missed. */
  announceAll(): void {
    this.announce([...this.#subscriptions.keys()]);
  }

  /** Ends every wait, now and later, with UNAVAILABLE. */
  stop(): void {
    this.#stopped = true;
    for (const subscriptions of this.#subscriptions.values())
      for (const subscription of subscriptions) subscription.stop();
  }
}

class Subscription implements ChangeSubscription {
  readonly #onClose: () => void;
  #pending = false;
  #stopped = false;
  #settle: (() => void) | undefined;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  wake(): void {
    this.#pending = true;
    this.#settle?.();
  }

  stop(): void {
    this.#stopped = true;
    this.#settle?.();
  }

  async next(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    if (!this.#pending && !this.#stopped && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const settle = () => resolve();
      this.#settle = settle;
      const timer = timeoutMs === undefined ? undefined : setTimeout(settle, timeoutMs);
      signal.addEventListener("abort", settle, { once: true });
      try {
        await promise;
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", settle);
        this.#settle = undefined;
      }
    }
    signal.throwIfAborted();
    if (this.#stopped) throw new ServiceError("UNAVAILABLE", "the service is stopping");
    this.#pending = false;
  }

  close(): void {
    this.#onClose();
  }
}
