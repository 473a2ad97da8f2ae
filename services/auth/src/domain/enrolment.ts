import { mayHoldCredentials, type SandboxRecord } from "./sandbox-record.ts";

/** What a supervisor enrols with. */
export type EnrolmentProof =
  /** SHA-256 of the bootstrap token's jti, hexadecimal. */
  | { readonly kind: "bootstrap"; readonly hash: string }
  /** The pod that the cluster vouches for. */
  | { readonly kind: "pod"; readonly uid: string };

/** What becomes of an enrolment. */
export type EnrolmentDecision = "enrol" | "revoked" | "replaced" | "expired" | "used";

/**
 * Decides whether a proof enrols a key. The key that has used it may use it again within its life, so that a lost answer strands nobody;
 * for any other key it is used up. A pod's proof lives as long as the pod: it is used up once the incarnation has a key, whoever
 * enrolled it. So a token that a workload gets hold of is worth nothing, and a supervisor that lost its key needs a new pod.
 */
export function decideEnrolment(
  record: SandboxRecord,
  enrolment: {
    readonly incarnation: bigint;
    readonly proof: EnrolmentProof;
    readonly keyThumbprint: string;
    readonly now: number;
  },
): EnrolmentDecision {
  const { proof, keyThumbprint } = enrolment;
  if (!mayHoldCredentials(record) || record.incarnation !== enrolment.incarnation) return "revoked";
  if (proof.kind === "pod")
    return record.keyThumbprint === undefined || record.keyThumbprint === keyThumbprint ? "enrol" : "used";
  const { bootstrap } = record;
  if (bootstrap === undefined || bootstrap.hash !== proof.hash) return "replaced";
  if (bootstrap.keyThumbprint !== undefined && bootstrap.keyThumbprint !== keyThumbprint) return "used";
  return enrolment.now < bootstrap.expiresAtMs ? "enrol" : "expired";
}
