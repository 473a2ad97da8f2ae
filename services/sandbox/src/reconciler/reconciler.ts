import type { SubjectRegister, TrustState } from "@sandgate/identity";
import { isTrusted } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import {
  createFailure,
  findMissing,
  nextStep,
  type Observation,
  type Patience,
  type Step,
} from "../domain/next-step.ts";
import { isOver } from "../domain/phase.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SandboxLedger } from "../store/sandbox-store.ts";
import type { SupervisorSessions } from "../supervisors/supervisor-sessions.ts";
import { type ActionDeps, type Learned, runAction } from "./actions.ts";
import { Addressable } from "./addressable.ts";
import type { EnforcementView } from "./enforcement-view.ts";
import { lifecycleEvent } from "./lifecycle-event.ts";
import { pause } from "./pause.ts";
import { StepFault } from "./step-fault.ts";

/** What the reconciler is made of. */
export interface ReconcilerDeps extends Omit<ActionDeps, "ledger" | "sessions"> {
  readonly ledger: SandboxLedger;
  readonly sessions: SupervisorSessions;
  readonly enforcement: EnforcementView;
  readonly subjects: Pick<SubjectRegister, "findSandbox">;
  readonly trust: Pick<TrustState, "onChange">;
  readonly clock: () => number;
  readonly logger: Logger;
  /** This service's SPIFFE id, for the audit log. */
  readonly spiffeId: string;
  readonly sweepIntervalMs: number;
  /** A supervisor that was not heard for so long is lost. */
  readonly silenceMs: number;
  readonly patience: Patience;
  /** How long answers and DELETED sandboxes are kept. */
  readonly retentionMs: number;
}

/** Sandboxes that are stepped at one time. */
const maximumAtOnce = 16;
/** A safeguard: no state needs as many steps in a row. */
const maximumSteps = 30;
/** Faults that are not understood are taken for lasting after so many attempts. */
const maximumAttempts = 3;
const pruneIntervalMs = 10 * 60_000;

/**
 * Brings every sandbox to its desired phase, from its row and what can be seen of it: after every event, and of all sandboxes
 * at the start and in every sweep. It keeps nothing that it could not find out again, so any process may die at any time.
 * Several may work on one database: each sandbox is stepped by one at a time.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps;
  readonly #stopping = new AbortController();
  readonly #addressable = new Addressable();
  /** Sandboxes that are stepped now; true when something happened meanwhile. */
  readonly #stepping = new Map<string, boolean>();
  readonly #queue = new Set<string>();
  readonly #attempts = new Map<string, { count: number; fault: string }>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #startedMs = 0;
  #prunedMs = Number.NEGATIVE_INFINITY;
  #sweptMs: number | undefined;
  #unfollow: readonly (() => void)[] = [];

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** Opens the sockets of all living sandboxes, follows what happens, and begins to sweep. */
  async start(): Promise<void> {
    const { driver, machine, enforcement, trust, clock, logger } = this.#deps;
    this.#startedMs = clock();
    await this.#reopenSockets();
    this.#unfollow = [
      driver.onExit(({ sandboxId, lastWords }) => {
        machine.noteEnded(sandboxId);
        logger.warn({ sandbox_id: sandboxId, last_words: lastWords }, "supervisor ended");
        this.poke(sandboxId);
      }),
      trust.onChange(({ change }) => {
        if (change.case === "sandbox" && !isTrusted(change.value)) this.poke(change.value.sandboxId);
      }),
    ];
    this.#run(enforcement.follow((sandboxId) => this.poke(sandboxId), this.#stopping.signal));
    this.#run(this.#sweepForEver());
  }

  /** Steps no more; resolves when nothing is under way. Sandboxes live on. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const unfollow of this.#unfollow) unfollow();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#addressable.stop();
    await Promise.all(this.#running);
  }

  /** Throws unless a sweep has succeeded lately. */
  check(): void {
    const { clock, sweepIntervalMs } = this.#deps;
    if (this.#sweptMs === undefined || clock() - this.#sweptMs > 3 * sweepIntervalMs + 30_000)
      throw new Error("sandboxes have not been swept lately");
  }

  /** Something happened to a sandbox: steps it soon. */
  poke(sandboxId: string): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#stepping.has(sandboxId)) this.#stepping.set(sandboxId, true);
    else if (this.#stepping.size >= maximumAtOnce) this.#queue.add(sandboxId);
    else this.#run(this.#stepAlone(sandboxId));
  }

  /**
   * Steps a new sandbox and resolves when its id and name can be used everywhere and its first policy is stored.
   * Throws UNAVAILABLE when that takes too long; the sandbox goes on all the same.
   */
  async whenAddressable(sandboxId: string, signal: AbortSignal): Promise<void> {
    const waiting = this.#addressable.wait(sandboxId, signal);
    this.poke(sandboxId);
    await waiting;
  }

  /** Looks at all sandboxes, of the store and of the machine. */
  async sweep(): Promise<void> {
    const { ledger, machine, enforcement, clock } = this.#deps;
    const nowMs = clock();
    // the machine first: what it has then and no row lives for later is an orphan; the same of what is enforced
    const found = await machine.refresh();
    const enforced = enforcement.list();
    await this.#expire(nowMs);
    const rows = await ledger.listLiving();
    const living = new Set(rows.map(({ id }) => id));
    for (const sandboxId of enforced) if (!living.has(sandboxId)) enforcement.forget(sandboxId);
    await this.#touchSupervisors(nowMs);
    await this.#endIdle(nowMs);
    for (const { sandboxId } of found) if (!living.has(sandboxId)) this.#run(this.#destroyOrphan(sandboxId));
    for (const row of rows)
      if (nextStep(row, await this.#observe(row), this.#deps.patience).kind !== "wait") this.poke(row.id);
    if (nowMs - this.#prunedMs >= pruneIntervalMs) {
      await ledger.prune(nowMs - this.#deps.retentionMs);
      this.#prunedMs = nowMs;
    }
    this.#sweptMs = nowMs;
  }

  async #sweepForEver(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.sweep();
      } catch (error) {
        if (!signal.aborted) this.#deps.logger.error({ err: error }, "sweep failed");
      }
      await pause(this.#deps.sweepIntervalMs, signal);
    }
  }

  async #reopenSockets(): Promise<void> {
    const { ledger, sockets, logger } = this.#deps;
    for (const row of await ledger.listLiving()) {
      if (row.phase === "PENDING" || isOver(row.phase)) continue;
      try {
        await sockets.open(row.id);
      } catch (error) {
        logger.error({ err: error, sandbox_id: row.id }, "control socket could not be opened");
      }
    }
  }

  async #expire(nowMs: number): Promise<void> {
    const event = { action: "sandbox.expired", principal: this.#deps.spiffeId, peer: "none" };
    for (const id of await this.#deps.ledger.expire({ event, nowMs, limit: 100 })) this.poke(id);
  }

  async #endIdle(nowMs: number): Promise<void> {
    const event = { action: "sandbox.idled", principal: this.#deps.spiffeId, peer: "none" };
    for (const id of await this.#deps.ledger.endIdle({ event, nowMs, limit: 100 })) this.poke(id);
  }

  async #touchSupervisors(nowMs: number): Promise<void> {
    const { ledger, sessions, silenceMs } = this.#deps;
    const heard = sessions.list().filter((session) => nowMs - session.heardMs < silenceMs);
    const stale = heard.filter((session) => nowMs - session.recordedMs > silenceMs / 3);
    if (stale.length === 0) return;
    await ledger.touchSupervisors(stale);
    for (const session of stale) session.recordedMs = nowMs;
  }

  async #destroyOrphan(sandboxId: string): Promise<void> {
    const { ledger, driver, sockets, machine, logger } = this.#deps;
    const lock = await ledger.tryLock(sandboxId);
    if (lock === undefined) return;
    try {
      if ((await ledger.selectLiving([sandboxId])).has(sandboxId)) return;
      await sockets.close(sandboxId);
      await driver.destroy(sandboxId);
      machine.noteEnded(sandboxId);
      logger.warn({ sandbox_id: sandboxId }, "destroyed a sandbox that no row lives for");
    } finally {
      await lock.release();
    }
  }

  async #stepAlone(sandboxId: string): Promise<void> {
    this.#stepping.set(sandboxId, false);
    try {
      do {
        this.#stepping.set(sandboxId, false);
        await this.#settle(sandboxId);
      } while (this.#stepping.get(sandboxId) === true && !this.#stopping.signal.aborted);
    } catch (error) {
      this.#deps.logger.error({ err: error, sandbox_id: sandboxId }, "sandbox could not be stepped");
      this.#pokeLater(sandboxId, 1_000);
    } finally {
      this.#stepping.delete(sandboxId);
      const [next] = this.#queue;
      if (next !== undefined) {
        this.#queue.delete(next);
        this.poke(next);
      }
    }
  }

  async #settle(sandboxId: string): Promise<void> {
    const { ledger } = this.#deps;
    const lock = await ledger.tryLock(sandboxId);
    if (lock === undefined) return this.#pokeLater(sandboxId, 200);
    try {
      let learned: Learned = {};
      let row = await ledger.get(sandboxId);
      if (row === undefined) this.#addressable.announce(sandboxId);
      for (let steps = 0; row !== undefined && steps < maximumSteps && !this.#stopping.signal.aborted; steps += 1) {
        row = { ...row, ...learned };
        this.#addressable.observe(row);
        const step = nextStep(row, await this.#observe(row), this.#deps.patience);
        if (step.kind === "wait") break;
        if (step.kind === "begin") {
          learned = {};
          row = (await this.#begin(row)) ?? (await ledger.get(sandboxId));
          continue;
        }
        const taken = await this.#take(step, row);
        if (taken === "later") break;
        learned = { ...learned, ...taken.learned };
        if (taken.record === undefined) continue;
        row = (await this.#write(row, { ...taken.record, ...learned })) ?? (await ledger.get(sandboxId));
      }
    } finally {
      await lock.release();
    }
  }

  async #write(before: SandboxRecord, after: SandboxRecord): Promise<SandboxRecord | undefined> {
    const stored = await this.#deps.ledger.replace(after, {
      event: lifecycleEvent(before, after, this.#deps.spiffeId),
      nowMs: this.#deps.clock(),
    });
    if (stored !== undefined && stored.phase !== before.phase) this.#attempts.delete(before.id);
    return stored;
  }

  async #begin(row: SandboxRecord): Promise<SandboxRecord | undefined> {
    const { ledger, spiffeId, clock } = this.#deps;
    this.#attempts.delete(row.id);
    return ledger.beginIncarnation(row, {
      event: {
        action: "sandbox.incarnation_begun",
        principal: spiffeId,
        peer: "none",
        details: { incarnation: String(row.incarnation + 1n) },
      },
      nowMs: clock(),
    });
  }

  /** Does a step outside the row. Answers what the row is to be then; undefined when it stays as it is. */
  async #take(
    step: Exclude<Step, { kind: "wait" | "begin" }>,
    row: SandboxRecord,
  ): Promise<{ readonly learned: Learned; readonly record: SandboxRecord | undefined } | "later"> {
    if (step.kind === "record")
      return {
        learned: {},
        record: { ...row, phase: step.phase, waitingFor: step.waitingFor, failure: step.failure ?? row.failure },
      };
    try {
      const learned = await runAction(this.#deps, step.action, row, () => this.#addressable.announce(row.id));
      // the trust stream tells when its identity is revoked here, too, and has it looked at again
      if (step.action === "end") return "later";
      if (step.next === undefined) return { learned, record: Object.keys(learned).length > 0 ? row : undefined };
      const record = { ...row, ...learned, phase: step.next };
      const waitingFor = step.next === "STARTING" ? findMissing(record, await this.#observe(record)) : [];
      return { learned, record: { ...record, waitingFor } };
    } catch (error) {
      if (!(error instanceof StepFault)) throw error;
      const record = this.#judge(error, row);
      return record === undefined ? "later" : { learned: {}, record };
    }
  }

  /** What a failed action makes of a sandbox: FAILED, or undefined when it is tried again later. */
  #judge(error: StepFault, row: SandboxRecord): SandboxRecord | undefined {
    const count = (this.#attempts.get(row.id)?.count ?? 0) + 1;
    this.#attempts.set(row.id, { count, fault: error.fault });
    this.#deps.logger.warn({ err: error, sandbox_id: row.id, attempt: count }, "step failed");
    const understood = error.cause instanceof ServiceError;
    const isStarting = row.phase === "PENDING" || row.phase === "PROVISIONING";
    if (row.desiredPhase === "READY" && isStarting && (error.isLasting || (!understood && count >= maximumAttempts))) {
      const failure = createFailure(row.name, error.stage, error.fault, !error.isLasting);
      return {
        ...row,
        phase: "FAILED",
        waitingFor: [],
        failure: { ...failure, nextCommand: error.mend ?? failure.nextCommand },
      };
    }
    this.#pokeLater(row.id, Math.min(100 * 2 ** (count - 1), 5_000));
    return undefined;
  }

  async #observe(row: SandboxRecord): Promise<Observation> {
    const { clock, enforcement, sessions, silenceMs } = this.#deps;
    const nowMs = clock();
    const found = sessions.find(row.id);
    const session = found?.incarnation === row.incarnation ? found : undefined;
    // after a restart every supervisor has the usual time to come back
    const heardMs = row.supervisorSeenMs === undefined ? undefined : Math.max(row.supervisorSeenMs, this.#startedMs);
    return {
      nowMs,
      running: await this.#isRunning(row),
      enforcement: enforcement.find(row.id),
      supervisorPresent: session !== undefined || (heardMs !== undefined && nowMs - heardMs <= silenceMs),
      revoked: await this.#isRevoked(row),
      mainCommandDue: session !== undefined && !session.mainCommanded && row.mainExit === undefined,
      lastFault: this.#attempts.get(row.id)?.fault,
    };
  }

  async #isRunning(row: SandboxRecord): Promise<boolean> {
    const { machine } = this.#deps;
    if (row.phase !== "STARTING" && row.phase !== "READY") return machine.isAnyRunning(row.id);
    return machine.look(row.id, row.incarnation);
  }

  async #isRevoked(row: SandboxRecord): Promise<boolean> {
    if (!row.registered || row.phase === "PENDING" || row.phase === "PROVISIONING") return false;
    try {
      const subject = await this.#deps.subjects.findSandbox(row.id);
      // what is known here may still be about the incarnation before
      return subject !== undefined && subject.incarnation >= row.incarnation && !isTrusted(subject);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error; // the register cannot be read now; the next sweep asks again
      return false;
    }
  }

  #pokeLater(sandboxId: string, delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.poke(sandboxId);
    }, delayMs);
    this.#timers.add(timer);
  }

  #run(work: Promise<void>): void {
    const tracked = work
      .finally(() => this.#running.delete(tracked))
      .catch((error: unknown) => {
        this.#deps.logger.error({ err: error }, "background work of the reconciler failed");
      });
    this.#running.add(tracked);
  }
}
