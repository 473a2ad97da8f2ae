import { encodeAuditRecord, firstHash, hashAuditRecord } from "./audit-record.ts";
import { type AuditRow, auditColumns, storedRecordOf } from "./audit-row.ts";
import type { AuditSqlClient } from "./sql-client.ts";

/** The end of a chain: the number and hash of its last record. */
export interface AuditHead {
  readonly sequence: bigint;
  /** Hexadecimal. */
  readonly hash: string;
}

/** The outcome of a check. */
export type AuditVerification =
  | {
      readonly kind: "intact";
      /** Keep it elsewhere and give it to the next check. */
      readonly head: AuditHead;
    }
  | {
      readonly kind: "broken";
      /** The first record that is not as it was written. */
      readonly sequence: bigint;
      /**
       * changed: the record, or the one before it, was edited. missing: it was removed. unexpected: it is beyond the log's
       * head. rewritten: it differs from the expected head.
       */
      readonly fault: "changed" | "missing" | "unexpected" | "rewritten";
    };

const batchSize = 1_000;

/** Checks every record against the chain, in batches, up to the head at the time of the call. */
export async function verifyAuditLog(
  database: AuditSqlClient,
  options: { readonly expected?: AuditHead; readonly signal?: AbortSignal },
): Promise<AuditVerification> {
  const { expected } = options;
  // one snapshot of both, so that an append in between is not taken for a record beyond the head
  const { rows: heads } = await database.query<{ sequence: bigint; hash: Buffer; last: bigint | null }>(
    "select sequence, hash, (select max(sequence) from audit_events) as last from audit_head",
  );
  const [head] = heads;
  if (head === undefined) return { kind: "broken", sequence: 1n, fault: "missing" };
  let hash: Uint8Array = firstHash;
  let sequence = 0n;
  while (sequence < head.sequence) {
    options.signal?.throwIfAborted();
    const { rows } = await database.query<AuditRow>(
      `select ${auditColumns} from audit_events where sequence > $1 and sequence <= $2 order by sequence limit ${batchSize}`,
      [sequence, head.sequence],
    );
    if (rows.length === 0) return { kind: "broken", sequence: sequence + 1n, fault: "missing" };
    for (const row of rows) {
      sequence += 1n;
      if (row.sequence !== sequence) return { kind: "broken", sequence, fault: "missing" };
      hash = hashAuditRecord(hash, sequence, encodeAuditRecord(storedRecordOf(row)));
      if (!row.hash.equals(hash)) return { kind: "broken", sequence, fault: "changed" };
      if (sequence === expected?.sequence && row.hash.toString("hex") !== expected.hash)
        return { kind: "broken", sequence, fault: "rewritten" };
    }
  }
  if (!head.hash.equals(hash)) return { kind: "broken", sequence: head.sequence, fault: "changed" };
  if (head.last !== null && head.last > head.sequence)
    return { kind: "broken", sequence: head.sequence + 1n, fault: "unexpected" };
  if (expected !== undefined && expected.sequence > head.sequence)
    return { kind: "broken", sequence: head.sequence + 1n, fault: "missing" };
  return { kind: "intact", head: { sequence: head.sequence, hash: head.hash.toString("hex") } };
}
