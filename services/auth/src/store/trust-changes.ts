import type { SqlClient } from "@sandgate/postgres";
import type { TrustChange } from "../domain/trust-change.ts";

/** So long a consumer that was away can go on where it stopped. */
const SUBJECT_CHANGE_LIFE_MS = 3_600_000;

/** Says that a subject has a new state. */
export function subjectChange(kind: "sandbox" | "user", subject: string, now: number): TrustChange {
  return { kind, subject, expiresAtMs: now + SUBJECT_CHANGE_LIFE_MS };
}

/** Puts changes into the log, and tells every replica at the commit. Nothing but the audit record may come after it. */
export async function appendTrustChanges(tx: SqlClient, changes: readonly TrustChange[]): Promise<bigint> {
  const events = changes.map((trustChange) => ({
    kind: trustChange.kind,
    subject: trustChange.subject,
    expire_time: new Date(trustChange.expiresAtMs).toISOString(),
    ...(trustChange.kind === "revocation" ? { revocation_kind: trustChange.revocationKind } : {}),
    ...(trustChange.kind === "revocation" && trustChange.issuedBeforeMs !== undefined
      ? { issued_before: new Date(trustChange.issuedBeforeMs).toISOString() }
      : {}),
  }));
  const { rows } = await tx.query<{ sequence: bigint }>("select append_trust_events($1::jsonb) as sequence", [
    JSON.stringify(events),
  ]);
  if (rows[0] === undefined) throw new Error("the change log did not answer");
  return rows[0].sequence;
}
