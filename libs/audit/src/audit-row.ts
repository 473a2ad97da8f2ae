import type { StoredAuditRecord } from "./audit-record.ts";

/** A row of audit_events. */
export interface AuditRow {
  readonly sequence: bigint;
  readonly time: Date;
  readonly action: string;
  readonly principal: string;
  readonly peer: string;
  readonly organization_id: string;
  readonly sandbox_id: string;
  readonly details: Readonly<Record<string, string>>;
  readonly hash: Buffer;
}

/** The columns of AuditRow. */
export const auditColumns = "sequence, time, action, principal, peer, organization_id, sandbox_id, details, hash";

/** The record in a row. */
export function storedRecordOf(row: AuditRow): StoredAuditRecord {
  return {
    timeMs: Number(row.time),
    action: row.action,
    principal: row.principal,
    peer: row.peer,
    organizationId: row.organization_id,
    sandboxId: row.sandbox_id,
    details: row.details,
  };
}
