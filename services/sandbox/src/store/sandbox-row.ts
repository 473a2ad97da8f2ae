import type { Labels } from "../domain/labels.ts";
import type { DesiredPhase, Phase } from "../domain/phase.ts";
import type {
  Confinement,
  Failure,
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
  readonly spec: Omit<SandboxSpec, "ttlMs"> & { readonly ttlMs?: number };
  readonly policy_request_id: string;
  readonly desired_phase: DesiredPhase;
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
}

/** The columns of a row, for `select` and `returning`. */
export const sandboxColumns = [
  "id, organization_id, name, owner_user_id, labels, spec, policy_request_id",
  "desired_phase, phase, incarnation, version, registered, policy_revision, confinement, supervisor_seen_time",
  "failure, main_exit, isolation_gaps, waiting_for, create_time, start_time, phase_time, ready_time, expire_time",
].join(", ");

/** The sandbox that a row holds. */
export function toRecord(row: SandboxRow): SandboxRecord {
  return {
    id: row.id,
    organizationId: row.organization_id,
    name: row.name,
    ownerUserId: row.owner_user_id,
    labels: row.labels,
    spec: { ...row.spec, ttlMs: row.spec.ttlMs },
    policyRequestId: row.policy_request_id,
    desiredPhase: row.desired_phase,
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
  };
}
