import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxSockets, SubjectRegister, TrustState } from "@sandgate/identity";
import { background } from "@sandgate/telemetry";
import type { PolicyStore } from "./store/policy-store.ts";

const lookupsAtOnce = 16;
const longestDelayMs = 5_000;

/**
 * Takes retired sandboxes out of what is pushed: those that the trust feed names at once, and by going through the register
 * those that died while this service, or the feed, was down. Until the register was gone through once, nothing is pushed.
 * The sockets of those that live are opened on the way, and those of retired ones closed.
 */
export class Retirement {
  readonly #store: PolicyStore;
  readonly #subjects: SubjectRegister;
  readonly #trust: Pick<TrustState, "onChange">;
  readonly #sockets: SandboxSockets;
  readonly #logger: { error(fields: object, message: string): void };
  readonly #stop = new AbortController();
  readonly #retiring = new Set<Promise<void>>();
  #stopFollowing: (() => void) | undefined;
  #reconciled = false;
  #wanted = false;
  #running: Promise<void> | undefined;

  constructor(deps: {
    store: PolicyStore;
    subjects: SubjectRegister;
    trust: Pick<TrustState, "onChange">;
    /** Opening does not throw. */
    sockets: SandboxSockets;
    logger: { error(fields: object, message: string): void };
  }) {
    this.#store = deps.store;
    this.#subjects = deps.subjects;
    this.#trust = deps.trust;
    this.#sockets = deps.sockets;
    this.#logger = deps.logger;
  }

  /** Whether the register was gone through since the start. */
  isReconciled(): boolean {
    return this.#reconciled;
  }

  start(): void {
    this.#stopFollowing = this.#trust.onChange(({ change }) => {
      if (change.case === "snapshot") this.#reconcileSoon();
      if (change.case === "sandbox" && !change.value.alive) this.#retire(change.value.sandboxId);
    });
    this.#reconcileSoon();
  }

  async stop(): Promise<void> {
    this.#stopFollowing?.();
    this.#stop.abort();
    await Promise.all([this.#running, ...this.#retiring]);
  }

  #retire(sandboxId: string): void {
    const retiring = this.#store
      .retire([sandboxId])
      .then(() => this.#sockets.close(sandboxId))
      .catch((fault: unknown) => {
        this.#logger.error({ err: fault, sandbox_id: sandboxId }, "sandbox could not be retired yet");
        this.#reconcileSoon();
      })
      .finally(() => this.#retiring.delete(retiring));
    this.#retiring.add(retiring);
  }

  /** Goes through the register, again if it is asked for meanwhile, until it has succeeded. */
  #reconcileSoon(): void {
    this.#wanted = true;
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
    background(this.#running, this.#logger, "sandboxes could not be reconciled");
  }

  async #run(): Promise<void> {
    let delayMs = 100;
    while (this.#wanted && !this.#stop.signal.aborted) {
      this.#wanted = false;
      try {
        await this.#reconcile();
        this.#reconciled = true;
      } catch (fault) {
        this.#logger.error({ err: fault }, "sandboxes could not be reconciled yet");
        this.#wanted = true;
        await sleep(delayMs * (0.5 + Math.random()), undefined, { signal: this.#stop.signal }).catch(() => {}); // stopped
        delayMs = Math.min(delayMs * 2, longestDelayMs);
      }
    }
  }

  async #reconcile(): Promise<void> {
    for (let after = ""; !this.#stop.signal.aborted; ) {
      const sandboxIds = await this.#store.listLiving(after);
      const last = sandboxIds.at(-1);
      if (last === undefined) return;
      const dead = new Set(await this.#findDead(sandboxIds));
      await this.#store.retire([...dead]);
      await Promise.all(
        sandboxIds.map((sandboxId) =>
          dead.has(sandboxId) ? this.#sockets.close(sandboxId) : this.#sockets.open(sandboxId),
        ),
      );
      after = last;
    }
  }

  async #findDead(sandboxIds: readonly string[]): Promise<string[]> {
    const dead: string[] = [];
    for (let index = 0; index < sandboxIds.length; index += lookupsAtOnce) {
      const some = sandboxIds.slice(index, index + lookupsAtOnce);
      const subjects = await Promise.all(some.map((sandboxId) => this.#subjects.findSandbox(sandboxId)));
      dead.push(...some.filter((_, position) => subjects[position]?.alive !== true));
    }
    return dead;
  }
}
