import { createHash } from "node:crypto";

/** What is put into the log. Texts are cut at 1,024 characters; never a secret. */
export interface AuditRecord {
  /** What happened: call.denied, sandbox.created, token.issued, policy.set, … */
  readonly action: string;
  /** The principal, as a SPIFFE id, or "anonymous". */
  readonly principal: string;
  /** The peer, as a SPIFFE id, or "none". */
  readonly peer: string;
  readonly organizationId?: string;
  /** The sandbox that it is about; for a denial, the one that was asked for. */
  readonly sandboxId?: string;
  readonly details?: Readonly<Record<string, string>>;
}

const maximumLength = 1_024;
const maximumDetails = 32;

/** The hash before the first record: 32 zero bytes. */
export const firstHash: Uint8Array = new Uint8Array(32);

/** A record as it is stored. */
export interface StoredAuditRecord {
  readonly timeMs: number;
  readonly action: string;
  readonly principal: string;
  readonly peer: string;
  readonly organizationId: string;
  readonly sandboxId: string;
  readonly details: Readonly<Record<string, string>>;
}

/**
 * Makes a record fit for storage: PostgreSQL stores neither NUL nor half of a surrogate pair, and a caller who sends them, or
 * megabytes, must be recorded all the same.
 */
export function toStoredRecord(record: AuditRecord, timeMs: number): StoredAuditRecord {
  return {
    timeMs,
    action: storable(record.action),
    principal: storable(record.principal),
    peer: storable(record.peer),
    organizationId: storable(record.organizationId ?? ""),
    sandboxId: storable(record.sandboxId ?? ""),
    details: Object.fromEntries(
      Object.entries(record.details ?? {})
        .slice(0, maximumDetails)
        .map(([key, value]) => [storable(key), storable(value)]),
    ),
  };
}

/** The text that is hashed: JSON without white space, the keys in this order, those of `details` sorted by code unit. */
export function encodeAuditRecord(record: StoredAuditRecord): string {
  return JSON.stringify({
    // an edited row may hold what is no time
    time: Number.isFinite(record.timeMs) ? new Date(record.timeMs).toISOString() : String(record.timeMs),
    action: record.action,
    principal: record.principal,
    peer: record.peer,
    organization_id: record.organizationId,
    sandbox_id: record.sandboxId,
    details: Object.fromEntries(Object.entries(record.details).sort(([a], [b]) => (a < b ? -1 : 1))),
  });
}

/** SHA-256 over the previous record's hash, this record's number in decimal, a line feed and its encoding. */
export function hashAuditRecord(previous: Uint8Array, sequence: bigint, encoded: string): Buffer {
  return createHash("sha256").update(previous).update(`${sequence}\n${encoded}`).digest();
}

function storable(text: string): string {
  const cut = text.length > maximumLength ? `${text.slice(0, maximumLength)}…` : text;
  return cut.toWellFormed().replaceAll("\u0000", "\ufffd");
}
