import type { Decision, PolicyService } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";

/** Once a command has ended, decisions about its last requests are still on their way for about this long on an idle machine. */
const leastQuietMs = 40;
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

  /** Resolves with everything that was decided, in order, once nothing has come for `patienceMs`, or for 40 ms if that is longer. */
  async settle(patienceMs: number): Promise<readonly Decision[]> {
    const quietMs = Math.max(leastQuietMs, patienceMs);
    const deadline = performance.now() + longestSettleMs;
    for (;;) {
      const more = await this.#hears(Math.min(quietMs, deadline - performance.now()));
      if (!more || this.#ended || performance.now() >= deadline) break;
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
