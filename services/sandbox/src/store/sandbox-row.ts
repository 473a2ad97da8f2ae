import type { Labels } from "../domain/labels.ts";
import type { DesiredPhase, Phase } from "../domain/phase.ts";
import type {
  Confinement,
  EndCause,
  Failure,
  IdleAction,
  MainExit,
  Prerequisite,
  SandboxRecord,
  SandboxSpec,
} from "../domain/sandbox-record.ts";

/** A row of the table sandboxes, as pg reads it; the checks of the table hold its texts to the unions. */
export interface SandboxRow {
  readonly id: string;
  readonly organization_id: string;
  readonly name: string;
  readonly owner_user_id: string;
  readonly labels: Labels;
  readonly spec: Pick<SandboxSpec, "command" | "environment" | "limits" | "image"> & { readonly ttlMs?: number };
  readonly idle_timeout_ms: bigint | null;
  readonly idle_action: IdleAction;
  readonly policy_request_id: string;
  readonly desired_phase: DesiredPhase;
  readonly end_cause: EndCause | null;
  readonly phase: Phase;
  readonly incarnation: bigint;
  readonly version: bigint;
  readonly registered: boolean;
  readonly policy_revision: bigint | null;
  readonly confinement: Confinement;
  readonly supervisor_seen_time: Date | null;
  readonly failure: Failure | null;
  readonly main_exit: MainExit | null;
  readonly isolation_gaps: string[];
  readonly waiting_for: Prerequisite[];
  readonly create_time: Date;
  readonly start_time: Date | null;
  readonly phase_time: Date;
  readonly ready_time: Date | null;
  readonly expire_time: Date | null;
  readonly active_time: Date | null;
}

const columns = [
  ...["id", "organization_id", "name", "owner_user_id", "labels", "spec", "policy_request_id"],
  ...["desired_phase", "end_cause", "phase", "incarnation", "version", "registered", "policy_revision", "confinement"],
  ...["supervisor_seen_time", "failure", "main_exit", "isolation_gaps", "waiting_for", "create_time", "start_time"],
  ...["phase_time", "ready_time", "expire_time", "idle_timeout_ms", "idle_action", "active_time"],
] as const satisfies readonly (keyof SandboxRow)[];

/** The columns of a row, for `select` and `returning`. */
export const sandboxColumns = columns.join(", ");

/** What the table sandbox_history keeps of every version. */
const keptColumns: ReadonlySet<string> = new Set([
  ...[
    "version",
    "incarnation",
    "desired_phase",
    "end_cause",
    "phase",
    "phase_time",
    "start_time",
    "ready_time",
    "expire_time",
  ],
  ...["waiting_for", "failure", "main_exit"],
]);

/** The columns of a row as it was after a change: those that are kept from `h`, the others from `s`. */
export const pastColumns = columns.map((name) => `${keptColumns.has(name) ? "h" : "s"}.${name}`).join(", ");

/** The sandbox that a row holds. */
export function toRecord(row: SandboxRow): SandboxRecord {
  return {
    id: row.id,
    organizationId: row.organization_id,
    name: row.name,
    ownerUserId: row.owner_user_id,
    labels: row.labels,
    spec: {
      ...row.spec,
      ttlMs: row.spec.ttlMs,
      idleTimeoutMs: row.idle_timeout_ms === null ? undefined : Number(row.idle_timeout_ms),
      idleAction: row.idle_action,
    },
    policyRequestId: row.policy_request_id,
    desiredPhase: row.desired_phase,
    endCause: row.end_cause ?? undefined,
    phase: row.phase,
    incarnation: row.incarnation,
    version: row.version,
    registered: row.registered,
    policyRevision: row.policy_revision ?? undefined,
    confinement: row.confinement,
    supervisorSeenMs: row.supervisor_seen_time?.getTime(),
    failure: row.failure ?? undefined,
    mainExit: row.main_exit ?? undefined,
    isolationGaps: row.isolation_gaps,
    waitingFor: row.waiting_for,
    createTimeMs: row.create_time.getTime(),
    startTimeMs: (row.start_time ?? row.create_time).getTime(),
    phaseTimeMs: row.phase_time.getTime(),
    readyTimeMs: row.ready_time?.getTime(),
    expireTimeMs: row.expire_time?.getTime(),
    activeTimeMs: row.active_time?.getTime(),
  };
}

/** The part of a spec that is kept as JSON. */
export function specJson({ command, environment, limits, ttlMs, image }: SandboxSpec): string {
  return JSON.stringify({ command, environment, limits, ttlMs, image });
}
