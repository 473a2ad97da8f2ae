import type { DesiredPhase, Phase } from "./phase.ts";
import type { Limits } from "./sandbox-record.ts";

/** What the sandboxes of an organization have together. */
export interface Usage {
  /** Those that are not DELETED. */
  readonly sandboxes: number;
  /** Those whose processes run, are about to or are not yet ended. */
  readonly running_sandboxes: number;
  /** What the running ones' processes may each write to. */
  readonly memory_bytes: number;
  readonly processes: number;
}

/** One kind of thing of which there may be a limit. */
export type QuotaName = keyof Usage;

/** How much an organization may have; what is not named has no limit. */
export type Quota = Readonly<Partial<Record<QuotaName, number | undefined>>>;

/** How much an organization may have, by its id. */
export type QuotaOf = (organizationId: string) => Quota;

/** Every kind, in the order in which they are shown. */
export const quotaNames = [
  "sandboxes",
  "running_sandboxes",
  "memory_bytes",
  "processes",
] as const satisfies readonly QuotaName[];

/** Whether a sandbox counts as running. */
export function isCountedAsRunning({
  phase,
  desiredPhase,
}: {
  readonly phase: Phase;
  readonly desiredPhase: DesiredPhase;
}): boolean {
  switch (phase) {
    case "PENDING":
    case "PROVISIONING":
    case "STARTING":
    case "READY":
    case "STOPPING":
      return true;
    case "STOPPED":
      return desiredPhase === "READY";
    case "COMPLETED":
    case "FAILED":
    case "DELETING":
    case "DELETED":
      return false;
  }
}

/** What one more running sandbox adds; `isNew` says whether it is one more sandbox, too. */
export function addedUsage(limits: Limits, isNew: boolean): Usage {
  return {
    sandboxes: isNew ? 1 : 0,
    running_sandboxes: 1,
    memory_bytes: limits.processMemoryBytes,
    processes: limits.processes,
  };
}

/** The first limit that would be passed; undefined if none would. What adds nothing of a kind passes no limit of it. */
export function findExceeded(quota: Quota, used: Usage, added: Usage): QuotaName | undefined {
  return quotaNames.find(
    (name) => added[name] > 0 && used[name] + added[name] > (quota[name] ?? Number.POSITIVE_INFINITY),
  );
}
