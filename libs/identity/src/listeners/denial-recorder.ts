import type { AuditRecord } from "@sandgate/audit";
import type { Denial } from "../steps/identity-steps.ts";

/** How many denials of one caller are recorded one by one. */
interface Allowance {
  /** At once. */
  readonly burst: number;
  /** One more after each of these times. */
  readonly refillMs: number;
}

/** Of whom we know: a sandbox must not be able to fill the disk, nor a user. */
const known: Allowance = { burst: 100, refillMs: 10_000 };
/** Of all together whom nobody knows. */
const strangers: Allowance = { burst: 100, refillMs: 50 };
const summaryMs = 60_000;
const manyCallers = 10_000;

interface Caller {
  readonly allowance: Allowance;
  tokens: number;
  refilledMs: number;
  /** The first that was left out since the last summary. */
  first: Denial | undefined;
  readonly leftOut: Map<string, number>;
}

/** Takes denials into the audit log. */
export interface BoundedDenials {
  /** Resolves when the denial is durable, or is counted for the next summary. Rejects when it cannot be recorded. */
  readonly record: (denial: Denial) => Promise<void>;
  /** Records what is counted still. */
  stop(): Promise<void>;
}

/**
 * Writes denials into the audit log, each durable before its caller hears of it (G-23), up to a bound for each caller, so that nobody can
 * fill the disk. Those beyond it are counted, and recorded once a minute as `call.denials_left_out` with their reasons: the last record
 * before says that this begins.
 */
export function createDenialRecorder(deps: {
  readonly record: (record: AuditRecord, denial: Denial) => Promise<void>;
  readonly clock: () => number;
  /** Of a caller whom we know; default 100. */
  readonly burst?: number | undefined;
}): BoundedDenials {
  const callers = new Map<string, Caller>();
  let timer: NodeJS.Timeout | undefined;

  const callerOf = (denial: Denial): Caller => {
    const name = nameOf(denial);
    let caller = callers.get(name);
    if (caller === undefined) {
      if (callers.size >= manyCallers) forgetIdle(callers);
      const allowance = name === "" ? strangers : { ...known, burst: deps.burst ?? known.burst };
      caller = { allowance, tokens: allowance.burst, refilledMs: deps.clock(), first: undefined, leftOut: new Map() };
      callers.set(name, caller);
    }
    return caller;
  };

  const summarize = async (): Promise<void> => {
    const summaries = [...callers.values()].map(async (caller) => {
      const { first } = caller;
      if (first === undefined) return;
      const counted = [...caller.leftOut];
      caller.first = undefined;
      caller.leftOut.clear();
      try {
        await deps.record(summaryOf(first, counted), first);
      } catch {
        // the audit log is out of reach: they are told with the next summary
        caller.first ??= first;
        for (const [reason, count] of counted) caller.leftOut.set(reason, (caller.leftOut.get(reason) ?? 0) + count);
      }
    });
    await Promise.all(summaries);
  };

  return {
    record: async (denial) => {
      const caller = callerOf(denial);
      refill(caller, deps.clock());
      if (caller.tokens < 1) {
        caller.first ??= denial;
        caller.leftOut.set(denial.reason, (caller.leftOut.get(denial.reason) ?? 0) + 1);
        timer ??= setInterval(() => void summarize(), summaryMs).unref();
        return;
      }
      caller.tokens -= 1;
      await deps.record(recordOf(denial, caller.tokens < 1), denial);
    },
    stop: async () => {
      clearInterval(timer);
      timer = undefined;
      await summarize();
    },
  };
}

/** Whose allowance a denial uses up; empty for all whom nobody knows. */
function nameOf({ principal, peer }: Denial): string {
  if (principal !== "anonymous") return principal;
  return peer === "none" ? "" : peer;
}

function refill(caller: Caller, now: number): void {
  const { burst, refillMs } = caller.allowance;
  // a clock that was put back gives nothing
  caller.tokens = Math.min(burst, caller.tokens + Math.max(0, now - caller.refilledMs) / refillMs);
  caller.refilledMs = now;
}

function forgetIdle(callers: Map<string, Caller>): void {
  for (const [name, caller] of callers)
    if (caller.first === undefined && caller.tokens >= caller.allowance.burst - 1) callers.delete(name);
}

function recordOf(denial: Denial, isLast: boolean): AuditRecord {
  return {
    action: "call.denied",
    principal: denial.principal,
    peer: denial.peer,
    organizationId: denial.organizationId,
    sandboxId: denial.sandboxId,
    details: {
      reason: denial.reason,
      method: denial.method,
      call_id: denial.callId,
      ...(isLast && { next: "counted" }),
    },
  };
}

function summaryOf(first: Denial, counted: readonly (readonly [string, number])[]): AuditRecord {
  const count = counted.reduce((sum, [, one]) => sum + one, 0);
  return {
    action: "call.denials_left_out",
    principal: first.principal,
    peer: first.peer,
    organizationId: first.organizationId,
    sandboxId: "",
    details: {
      count: String(count),
      reasons: counted.map(([reason, one]) => `${reason}=${one}`).join(" "),
      first_call_id: first.callId,
    },
  };
}
