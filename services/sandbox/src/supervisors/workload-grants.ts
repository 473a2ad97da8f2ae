import { isDeepStrictEqual } from "node:util";
import type { PolicyService, WatchPoliciesResponse } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import { pause } from "../reconciler/pause.ts";
import type { SupervisorSession } from "./supervisor-session.ts";
import type { SupervisorSessions } from "./supervisor-sessions.ts";

/** What one workload is granted beside what it may reach. */
interface Grants {
  readonly audiences: readonly string[];
  /** As `name@version`. */
  readonly providers: readonly string[];
}

const none: Grants = { audiences: [], providers: [] };

/**
 * Tells supervisors what policy grants their workloads, as the Policy service streams it. It only tells what to offer: whoever gives
 * something out asks Policy at that moment.
 */
export class WorkloadGrantsFeed {
  readonly #policy: Pick<Client<typeof PolicyService>, "watchPolicies">;
  readonly #sessions: Pick<SupervisorSessions, "find" | "list">;
  readonly #logger: Pick<Logger, "warn">;
  /** Of the sandboxes that are granted any. */
  #grants = new Map<string, Grants>();
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
    const { audiences, providers } = this.#grants.get(session.sandboxId) ?? none;
    session.send({ case: "workloadGrants", value: { audiences: [...audiences], providers: [...providers] } });
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

  #apply(change: WatchPoliciesResponse): void {
    const isFirst = !this.#isKnown;
    if (change.snapshot) this.#grants = new Map();
    this.#isKnown = true;
    this.#version = change.version;
    const providers = new Map(change.providers.map((own) => [own.sandboxId, own.providers]));
    for (const { sandboxId, policy } of change.upserted)
      this.#set(sandboxId, {
        audiences: policy?.identity?.audiences ?? [],
        providers: (providers.get(sandboxId) ?? []).map(
          ({ provider }) => `${provider?.name ?? ""}@${provider?.version ?? 0n}`,
        ),
      });
    for (const sandboxId of change.removedSandboxIds) this.#set(sandboxId, none);
    if (change.snapshot || isFirst) for (const session of this.#sessions.list()) this.tell(session);
  }

  #set(sandboxId: string, grants: Grants): void {
    const before = this.#grants.get(sandboxId) ?? none;
    if (isDeepStrictEqual(grants, none)) this.#grants.delete(sandboxId);
    else this.#grants.set(sandboxId, grants);
    const session = this.#sessions.find(sandboxId);
    if (session !== undefined && !isDeepStrictEqual(before, grants)) this.tell(session);
  }
}
