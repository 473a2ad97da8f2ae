import type { PolicyService } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import { pause } from "./pause.ts";

/** What a proxy enforces for one sandbox. */
export interface EnforcedPolicy {
  readonly revision: bigint;
  readonly fault: string;
}

/** Which policy revisions are enforced, as the Policy service streams it. */
export class EnforcementView {
  readonly #policy: Pick<Client<typeof PolicyService>, "watchEnforcement">;
  readonly #logger: Pick<Logger, "warn">;
  readonly #silenceMs: number;
  readonly #enforced = new Map<string, EnforcedPolicy>();

  constructor(options: {
    readonly policy: Pick<Client<typeof PolicyService>, "watchEnforcement">;
    readonly logger: Pick<Logger, "warn">;
    /** Default 5,000. */
    readonly silenceMs?: number;
  }) {
    this.#policy = options.policy;
    this.#logger = options.logger;
    this.#silenceMs = options.silenceMs ?? 5_000;
  }

  /** What was last heard of a sandbox. */
  find(sandboxId: string): EnforcedPolicy | undefined {
    return this.#enforced.get(sandboxId);
  }

  /** The sandboxes that anything was heard of. */
  list(): readonly string[] {
    return [...this.#enforced.keys()];
  }

  /** Forgets a sandbox. */
  forget(sandboxId: string): void {
    this.#enforced.delete(sandboxId);
  }

  /**
   * Follows the stream, and reconnects, until the signal aborts; one on which nothing is heard, not even a heartbeat, is given up.
   * Calls `onChange` for every sandbox that something is heard of.
   */
  async follow(onChange: (sandboxId: string) => void, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      const silence = new AbortController();
      const restart = (): NodeJS.Timeout => setTimeout(() => silence.abort(), this.#silenceMs);
      let timer = restart();
      try {
        const stream = this.#policy.watchEnforcement({}, { signal: AbortSignal.any([signal, silence.signal]) });
        for await (const { enforcements } of stream) {
          clearTimeout(timer);
          timer = restart();
          failures = 0;
          for (const { sandboxId, revision, fault } of enforcements) {
            this.#enforced.set(sandboxId, { revision, fault });
            onChange(sandboxId);
          }
        }
      } catch (error) {
        if (!signal.aborted && failures === 0) this.#logger.warn({ err: error }, "enforcement is not known for now");
      } finally {
        clearTimeout(timer);
      }
      await pause(Math.min(50 * 2 ** failures, 2_000) * (0.5 + Math.random()), signal);
    }
  }
}
