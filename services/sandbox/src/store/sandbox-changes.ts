import { type ConnectionSettings, type Listener, listen } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";

/** What can happen to a sandbox's stored state. */
export type ChangeKind = "changed" | "logged";

/** Waits for what happens to one sandbox after it was opened. */
export interface ChangeSubscription extends Disposable {
  /**
   * Resolves when something happened since it last resolved, or may have. Throws the signal's reason when that aborts, and
   * UNAVAILABLE when the service stops.
   */
  next(signal: AbortSignal): Promise<void>;
}

class Subscription implements ChangeSubscription {
  readonly #onClose: () => void;
  #happened = false;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  notify(): void {
    this.#happened = true;
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  async next(signal: AbortSignal): Promise<void> {
    if (!this.#happened && !this.#stopped && !signal.aborted)
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#wake = done;
        signal.addEventListener("abort", done);
      });
    this.#wake = () => {};
    signal.throwIfAborted();
    if (this.#stopped) throw new ServiceError("UNAVAILABLE", "the service is stopping");
    this.#happened = false;
  }

  [Symbol.dispose](): void {
    this.#onClose();
  }
}

/**
 * Tells waiting calls that a sandbox's rows have changed, whichever process changed them. It says only that: a waiter reads
 * the rows again, so nothing is missed when notifications are lost.
 */
export class SandboxChanges {
  readonly #connection: ConnectionSettings;
  readonly #logger: { warn(fields: object, message: string): void };
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  #listener: Listener | undefined;

  constructor(options: {
    readonly connection: ConnectionSettings;
    readonly logger: { warn(fields: object, message: string): void };
  }) {
    this.#connection = options.connection;
    this.#logger = options.logger;
  }

  async start(): Promise<void> {
    this.#listener = await listen({
      connection: this.#connection,
      channel: "sandbox_events",
      logger: this.#logger,
      onNotification: (payload) => {
        for (const subscription of this.#subscriptions.get(payload) ?? []) subscription.notify();
      },
      onReconnect: () => {
        for (const subscription of this.#all()) subscription.notify();
      },
    });
  }

  /** Ends every waiting `next`. */
  async stop(): Promise<void> {
    for (const subscription of this.#all()) subscription.stop();
    await this.#listener?.close();
  }

  /** Begins to watch one sandbox. Subscribe first, then read the rows. */
  subscribe(sandboxId: string, kinds: readonly ChangeKind[] = ["changed"]): ChangeSubscription {
    const keys = kinds.map((kind) => `${kind} ${sandboxId}`);
    const subscription = new Subscription(() => {
      for (const key of keys) {
        const watching = this.#subscriptions.get(key);
        watching?.delete(subscription);
        if (watching?.size === 0) this.#subscriptions.delete(key);
      }
    });
    for (const key of keys) {
      const watching = this.#subscriptions.get(key) ?? new Set();
      watching.add(subscription);
      this.#subscriptions.set(key, watching);
    }
    return subscription;
  }

  #all(): Subscription[] {
    return [...new Set([...this.#subscriptions.values()].flatMap((watching) => [...watching]))];
  }
}
