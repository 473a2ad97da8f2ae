import { mayHoldCredentials, type SandboxRecord } from "./sandbox-record.ts";

/** What becomes of an enrolment. */
export type EnrolmentDecision = "enrol" | "revoked" | "replaced" | "expired" | "used";

/**
 * Decides whether a bootstrap credential enrols a key. The key that has used it may use it again within its life, so that a lost
 * answer strands nobody; for any other key it is used up.
 */
export function decideEnrolment(
  record: SandboxRecord,
  enrolment: {
    readonly incarnation: bigint;
    readonly bootstrapHash: string;
    readonly keyThumbprint: string;
    readonly now: number;
  },
): EnrolmentDecision {
  const { bootstrap } = record;
  if (!mayHoldCredentials(record) || record.incarnation !== enrolment.incarnation) return "revoked";
  if (bootstrap === undefined || bootstrap.hash !== enrolment.bootstrapHash) return "replaced";
  if (bootstrap.keyThumbprint !== undefined && bootstrap.keyThumbprint !== enrolment.keyThumbprint) return "used";
  return enrolment.now < bootstrap.expiresAtMs ? "enrol" : "expired";
}
