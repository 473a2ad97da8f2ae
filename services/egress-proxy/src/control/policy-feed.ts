import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BoundProvider, PolicyRevision, PolicyService, WatchPoliciesResponse } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";
import type { ChannelSet } from "../channel/channel-set.ts";
import type { ProviderTable } from "../credentials/provider-table.ts";
import type { SecretCache } from "../credentials/secret-cache.ts";
import type { PolicyTable } from "../decision/policy-table.ts";
import type { StatusReporter } from "./status-reporter.ts";

const restOfSnapshotMs = 500;
/** What a timer of Node takes. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * Keeps the policies that are enforced true to the Policy service's stream: what comes is compiled and swapped in, tunnels
 * that it forbids are cut, at once and when a rule expires, and the status is reported. Goes on where it stopped when the stream is opened anew; a stream on which
 * nothing is heard for half of the grace is given up.
 */
export class PolicyFeed {
  readonly #client: Pick<Client<typeof PolicyService>, "watchPolicies">;
  readonly #policies: PolicyTable;
  readonly #providers: ProviderTable;
  readonly #secrets: Pick<SecretCache, "retain" | "forget">;
  readonly #channels: ChannelSet;
  readonly #status: StatusReporter;
  readonly #clock: () => number;
  readonly #graceMs: number;
  readonly #onFault: (fault: unknown) => void;
  readonly #enforcedAt = new Map<string, number>();
  readonly #absent = new Map<string, NodeJS.Timeout>();
  readonly #expiring = new Map<string, NodeJS.Timeout>();
  #version = 0n;
  #heardAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly client: Pick<Client<typeof PolicyService>, "watchPolicies">;
    readonly policies: PolicyTable;
    readonly providers: ProviderTable;
    readonly secrets: Pick<SecretCache, "retain" | "forget">;
    readonly channels: ChannelSet;
    readonly status: StatusReporter;
    readonly clock: () => number;
    readonly graceMs: number;
    readonly onFault: (fault: unknown) => void;
  }) {
    this.#client = options.client;
    this.#policies = options.policies;
    this.#providers = options.providers;
    this.#secrets = options.secrets;
    this.#channels = options.channels;
    this.#status = options.status;
    this.#clock = options.clock;
    this.#graceMs = options.graceMs;
    this.#onFault = options.onFault;
  }

  /** Whether the stream, which has a heartbeat every second, was heard within the grace. */
  isCurrent(): boolean {
    const now = this.#clock();
    if (now < this.#heardAt) this.#heardAt = now; // a clock that was put back makes nothing last longer than the grace
    return now - this.#heardAt <= this.#graceMs;
  }

  /** Follows the stream until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    let delayMs = 50;
    while (!signal.aborted) {
      const silence = new AbortController();
      const restart = (): NodeJS.Timeout => setTimeout(() => silence.abort(), this.#graceMs / 2);
      let timer = restart();
      try {
        const stream = this.#client.watchPolicies(
          { afterVersion: this.#version },
          { signal: AbortSignal.any([signal, silence.signal]) },
        );
        for await (const change of stream) {
          clearTimeout(timer);
          timer = restart();
          delayMs = 50;
          await this.#apply(change);
          this.#heardAt = this.#clock();
        }
      } catch (fault) {
        if (!signal.aborted) this.#onFault(fault);
      } finally {
        clearTimeout(timer);
      }
      if (!signal.aborted) await pause(delayMs * (0.5 + Math.random()), signal); // jittered: all proxies lose it at once
      delayMs = Math.min(delayMs * 2, 100);
    }
    for (const timer of [...this.#absent.values(), ...this.#expiring.values()]) clearTimeout(timer);
  }

  async #apply(change: WatchPoliciesResponse): Promise<void> {
    for (const { sandboxId } of change.upserted) {
      clearTimeout(this.#absent.get(sandboxId));
      this.#absent.delete(sandboxId);
    }
    if (change.snapshot) this.#awaitRestOfSnapshot(new Set(change.upserted.map(({ sandboxId }) => sandboxId)));
    const providers = new Map(change.providers.map((own) => [own.sandboxId, own.providers]));
    for (const revision of change.upserted) {
      this.#grant(revision.sandboxId, providers.get(revision.sandboxId) ?? []);
      this.#enforce(revision);
    }
    this.#version = change.version;
    await Promise.all(change.removedSandboxIds.map((sandboxId) => this.#remove(sandboxId)));
  }

  /** A large snapshot goes on in the next messages: what it has not named shortly after its first one is gone. */
  #awaitRestOfSnapshot(present: ReadonlySet<string>): void {
    for (const sandboxId of this.#policies.sandboxIds) {
      if (present.has(sandboxId) || this.#absent.has(sandboxId)) continue;
      const remove = () => void this.#remove(sandboxId).catch(this.#onFault);
      this.#absent.set(sandboxId, setTimeout(remove, restOfSnapshotMs));
    }
  }

  async #remove(sandboxId: string): Promise<void> {
    clearTimeout(this.#absent.get(sandboxId));
    this.#absent.delete(sandboxId);
    this.#policies.remove(sandboxId);
    this.#providers.remove(sandboxId);
    this.#secrets.forget(sandboxId);
    this.#cutWhenRulesExpire(sandboxId);
    this.#enforcedAt.delete(sandboxId);
    await this.#channels.remove(sandboxId);
  }

  /** Before the policy is enforced: what is open is judged by both. */
  #grant(sandboxId: string, providers: readonly BoundProvider[]): void {
    this.#providers.replace(sandboxId, providers);
    this.#secrets.retain(sandboxId, this.#providers.find(sandboxId));
  }

  #enforce(revision: PolicyRevision): void {
    const { sandboxId } = revision;
    const before = this.#policies.find(sandboxId)?.revision;
    const swap = this.#policies.swap(revision);
    if (swap.revision !== before) this.#enforcedAt.set(sandboxId, this.#clock());
    this.#channels.recheck(sandboxId);
    this.#cutWhenRulesExpire(sandboxId);
    if (swap.kind === "kept") {
      this.#report(sandboxId, swap.fault);
      if (swap.revision === 0n) return;
    }
    this.#channels.ensure(sandboxId, {
      onOpen: () => this.#report(sandboxId, swap.kind === "kept" ? swap.fault : ""),
      onFault: (fault) => this.#status.report({ sandboxId, revision: 0n, fault }),
    });
  }

  /** Has what is open looked at again at the moment when the next rule of the sandbox's policy expires. */
  #cutWhenRulesExpire(sandboxId: string): void {
    clearTimeout(this.#expiring.get(sandboxId));
    this.#expiring.delete(sandboxId);
    const now = this.#clock();
    const next = this.#policies.find(sandboxId)?.compiled.expiries.find((moment) => moment > now);
    if (next === undefined) return;
    const look = () => {
      this.#channels.recheck(sandboxId);
      this.#cutWhenRulesExpire(sandboxId);
    };
    this.#expiring.set(sandboxId, setTimeout(look, Math.min(next - now, longestTimerMs)).unref());
  }

  #report(sandboxId: string, fault: string): void {
    const revision = this.#policies.find(sandboxId)?.revision ?? 0n;
    const enforceTime = timestampFromMs(this.#enforcedAt.get(sandboxId) ?? this.#clock());
    this.#status.report({ sandboxId, revision, fault, ...(revision === 0n ? {} : { enforceTime }) });
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
