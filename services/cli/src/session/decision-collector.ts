import type { Decision, PolicyService } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";

/** Where it is not known how many are to come: what nothing has been heard for in this time has been heard. */
const quietMs = 150;
/** Never waited longer than this for them. */
const longestSettleMs = 1_000;

/** Collects the decisions about one sandbox as they are stored. */
export class DecisionCollector {
  readonly #call = new AbortController();
  readonly #decisions = new Map<string, Decision>();
  #heard: (() => void) | undefined;
  #ended = false;

  constructor(client: Client<typeof PolicyService>, sandbox: string) {
    void this.#follow(client, sandbox);
  }

  /** Resolves with everything that was decided, in order: once there are so many decisions, or, if it is not known how many, none has come for a while. */
  async settle(expected: number | undefined): Promise<readonly Decision[]> {
    const deadline = performance.now() + longestSettleMs;
    while (!this.#ended && this.#decisions.size < (expected ?? Number.POSITIVE_INFINITY)) {
      const leftMs = deadline - performance.now();
      if (!(await this.#hears(expected === undefined ? Math.min(quietMs, leftMs) : leftMs))) break;
    }
    this.close();
    return [...this.#decisions.values()];
  }

  close(): void {
    this.#call.abort();
  }

  /** Whether something comes within this time. */
  #hears(ms: number): Promise<boolean> {
    if (this.#ended || ms <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#heard = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  async #follow(client: Client<typeof PolicyService>, sandbox: string): Promise<void> {
    try {
      for await (const { decisions } of client.watchDecisions({ sandbox }, { signal: this.#call.signal })) {
        for (const decision of decisions) this.#decisions.set(decision.decisionId, decision);
        this.#heard?.();
      }
    } catch {
      // the table shows what was heard until then; the command's own outcome does not depend on it
    } finally {
      this.#ended = true;
      this.#heard?.();
    }
  }
}
