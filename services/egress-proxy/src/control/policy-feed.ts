import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PolicyRevision, PolicyService, WatchPoliciesResponse } from "@sandgate/api/policy";
import type { Client } from "@sandgate/rpc";
import type { ChannelSet } from "../channel/channel-set.ts";
import type { PolicyTable } from "../decision/policy-table.ts";
import type { StatusReporter } from "./status-reporter.ts";

const firstAnswerMs = 2_000;
const restOfSnapshotMs = 500;

/**
 * Keeps the policies that are enforced true to the Policy service's stream: what comes is compiled and swapped in, tunnels
 * that it forbids are cut, and the status is reported. Goes on where it stopped when the stream is opened anew.
 */
export class PolicyFeed {
  readonly #client: Pick<Client<typeof PolicyService>, "watchPolicies">;
  readonly #policies: PolicyTable;
  readonly #channels: ChannelSet;
  readonly #status: StatusReporter;
  readonly #clock: () => number;
  readonly #graceMs: number;
  readonly #onFault: (fault: unknown) => void;
  readonly #enforcedAt = new Map<string, number>();
  readonly #absent = new Map<string, NodeJS.Timeout>();
  #version = 0n;
  #connected = false;
  #heardAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly client: Pick<Client<typeof PolicyService>, "watchPolicies">;
    readonly policies: PolicyTable;
    readonly channels: ChannelSet;
    readonly status: StatusReporter;
    readonly clock: () => number;
    readonly graceMs: number;
    readonly onFault: (fault: unknown) => void;
  }) {
    this.#client = options.client;
    this.#policies = options.policies;
    this.#channels = options.channels;
    this.#status = options.status;
    this.#clock = options.clock;
    this.#graceMs = options.graceMs;
    this.#onFault = options.onFault;
  }

  /** Whether the policies are known as they are, or were until a moment ago. */
  isCurrent(): boolean {
    return this.#connected || this.#clock() - this.#heardAt <= this.#graceMs;
  }

  /** Follows the stream until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    let delayMs = 50;
    let resume = true;
    while (!signal.aborted) {
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), firstAnswerMs);
      let silent = true;
      try {
        const stream = this.#client.watchPolicies(
          { afterVersion: resume ? this.#version : 0n },
          { signal: AbortSignal.any([signal, silence.signal]) },
        );
        for await (const change of stream) {
          clearTimeout(timer);
          silent = false;
          this.#connected = true;
          delayMs = 50;
          await this.#apply(change);
        }
      } catch (fault) {
        if (!signal.aborted) this.#onFault(fault);
      }
      clearTimeout(timer);
      if (this.#connected) this.#heardAt = this.#clock();
      this.#connected = false;
      // Where nothing has changed nothing is answered, and that looks like a dead connection: a snapshot always answers.
      resume = !(silent && silence.signal.aborted);
      if (!signal.aborted && resume) await pause(delayMs * (0.5 + Math.random()), signal); // jittered: all proxies lose it at once
      delayMs = Math.min(delayMs * 2, 100);
    }
    for (const timer of this.#absent.values()) clearTimeout(timer);
  }

  async #apply(change: WatchPoliciesResponse): Promise<void> {
    for (const { sandboxId } of change.upserted) {
      clearTimeout(this.#absent.get(sandboxId));
      this.#absent.delete(sandboxId);
    }
    if (change.snapshot) this.#awaitRestOfSnapshot(new Set(change.upserted.map(({ sandboxId }) => sandboxId)));
    for (const revision of change.upserted) this.#enforce(revision);
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
    this.#enforcedAt.delete(sandboxId);
    await this.#channels.remove(sandboxId);
  }

  #enforce(revision: PolicyRevision): void {
    const { sandboxId } = revision;
    const before = this.#policies.find(sandboxId)?.revision;
    const swap = this.#policies.swap(revision);
    if (swap.revision !== before) this.#enforcedAt.set(sandboxId, this.#clock());
    this.#channels.recheck(sandboxId);
    if (swap.kind === "kept") {
      this.#report(sandboxId, swap.fault);
      if (swap.revision === 0n) return;
    }
    this.#channels.ensure(sandboxId, {
      onOpen: () => this.#report(sandboxId, swap.kind === "kept" ? swap.fault : ""),
      onFault: (fault) => this.#status.report({ sandboxId, revision: 0n, fault }),
    });
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
