import type { PolicyService } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import { pause } from "../reconciler/pause.ts";
import type { SupervisorSession } from "./supervisor-session.ts";
import type { SupervisorSessions } from "./supervisor-sessions.ts";

const none: readonly string[] = [];

/**
 * Tells supervisors what policy grants their workloads, as the Policy service streams it. It only tells what to offer: whoever gives
 * something out asks Policy at that moment.
 */
export class WorkloadGrantsFeed {
  readonly #policy: Pick<Client<typeof PolicyService>, "watchPolicies">;
  readonly #sessions: Pick<SupervisorSessions, "find" | "list">;
  readonly #logger: Pick<Logger, "warn">;
  /** Of the sandboxes that are granted any. */
  #audiences = new Map<string, readonly string[]>();
  #version = 0n;
  #isKnown = false;

  constructor(options: {
    readonly policy: Pick<Client<typeof PolicyService>, "watchPolicies">;
    readonly sessions: Pick<SupervisorSessions, "find" | "list">;
    readonly logger: Pick<Logger, "warn">;
  }) {
    this.#policy = options.policy;
    this.#sessions = options.sessions;
    this.#logger = options.logger;
  }

  /** Tells a supervisor that has just connected; one that connects before anything is known is told as soon as it is. */
  tell(session: SupervisorSession): void {
    if (!this.#isKnown || session.closed.aborted) return;
    const audiences = [...(this.#audiences.get(session.sandboxId) ?? none)];
    session.send({ case: "workloadGrants", value: { audiences } });
  }

  /** Follows the stream, and reconnects, until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        for await (const change of this.#policy.watchPolicies({ afterVersion: this.#version }, { signal })) {
          failures = 0;
          this.#apply(change);
        }
      } catch (error) {
        if (!signal.aborted && failures === 0) this.#logger.warn({ err: error }, "grants are not known for now");
      }
      await pause(Math.min(50 * 2 ** failures, 2_000) * (0.5 + Math.random()), signal);
    }
  }

  #apply(change: {
    readonly version: bigint;
    readonly snapshot: boolean;
    readonly upserted: readonly {
      readonly sandboxId: string;
      readonly policy?: { readonly identity?: { readonly audiences: readonly string[] } | undefined } | undefined;
    }[];
    readonly removedSandboxIds: readonly string[];
  }): void {
    const isFirst = !this.#isKnown;
    if (change.snapshot) this.#audiences = new Map();
    this.#isKnown = true;
    this.#version = change.version;
    for (const { sandboxId, policy } of change.upserted) this.#set(sandboxId, policy?.identity?.audiences ?? none);
    for (const sandboxId of change.removedSandboxIds) this.#set(sandboxId, none);
    if (change.snapshot || isFirst) for (const session of this.#sessions.list()) this.tell(session);
  }

  #set(sandboxId: string, audiences: readonly string[]): void {
    const before = this.#audiences.get(sandboxId) ?? none;
    if (audiences.length === 0) this.#audiences.delete(sandboxId);
    else this.#audiences.set(sandboxId, audiences);
    const session = this.#sessions.find(sandboxId);
    if (session !== undefined && before.join(" ") !== audiences.join(" ")) this.tell(session);
  }
}
