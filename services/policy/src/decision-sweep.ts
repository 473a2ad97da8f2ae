import type { PolicyStore } from "./store/policy-store.ts";

const intervalMs = 10 * 60_000;

/** Removes what is older than the retention: at the start, then every ten minutes. */
export class DecisionSweep {
  readonly #store: Pick<PolicyStore, "prune">;
  readonly #clock: () => number;
  readonly #retentionMs: number;
  readonly #logger: { error(fields: object, message: string): void };
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: {
    store: Pick<PolicyStore, "prune">;
    clock: () => number;
    retentionMs: number;
    logger: { error(fields: object, message: string): void };
  }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#retentionMs = deps.retentionMs;
    this.#logger = deps.logger;
  }

  start(): void {
    this.#running = this.#sweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #sweep(): Promise<void> {
    try {
      while (!this.#stopped && (await this.#store.prune(this.#clock() - this.#retentionMs)).more);
    } catch (fault) {
      this.#logger.error({ err: fault }, "old decisions could not be removed yet");
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#sweep();
    }, intervalMs).unref();
  }
}
