import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AuditEvent, AuditEventSchema } from "@sandgate/api/audit";
import { decodeAuditPageToken, encodeAuditPageToken } from "./audit-page-token.ts";
import { type AuditRecord, encodeAuditRecord, toStoredRecord } from "./audit-record.ts";
import { type AuditRow, auditColumns, storedRecordOf } from "./audit-row.ts";
import { GroupCommit } from "./group-commit.ts";
import type { AuditSqlClient } from "./sql-client.ts";
import { type AuditHead, type AuditVerification, verifyAuditLog } from "./verify-audit-log.ts";

/** Which events are listed, and from where. */
export interface ListAuditEventsQuery {
  readonly organizationId: string;
  /** Empty or absent: of all. */
  readonly sandboxId?: string;
  /** Empty or absent: of all. */
  readonly action?: string;
  /** At most 1,000; 0 means 100. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/** One page of events, newest first. */
export interface AuditPage {
  readonly events: AuditEvent[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** A service's append-only, hash-chained audit log, in the tables of `auditEventsSql`. */
export class AuditLog {
  readonly #database: AuditSqlClient;
  readonly #clock: () => number;
  readonly #group: GroupCommit;

  constructor(options: {
    /** The service's pool; each statement on it must be a transaction of its own. */
    readonly database: AuditSqlClient;
    /** Milliseconds since the epoch. */
    readonly clock: () => number;
    /** Denials that may wait to be recorded; beyond, `record` rejects. Default 1,000. */
    readonly queueLimit?: number;
  }) {
    this.#database = options.database;
    this.#clock = options.clock;
    this.#group = new GroupCommit({
      write: (encoded) => appendEncoded(options.database, encoded),
      queueLimit: options.queueLimit ?? 1_000,
      batchLimit: 250,
    });
  }

  /**
   * Appends records in the transaction of the effect that they tell of: both happen, or neither. Appends wait for each other
   * until the commit, so make it the last statement.
   */
  async append(tx: AuditSqlClient, ...records: readonly AuditRecord[]): Promise<void> {
    await appendEncoded(
      tx,
      records.map((record) => this.#encode(record)),
    );
  }

  /**
   * Appends a record that belongs to no effect, such as a denial. Resolves when it is durable. Rejects with
   * AuditUnavailableError if it cannot be, so that the caller fails closed.
   */
  async record(record: AuditRecord): Promise<void> {
    await this.#group.add(this.#encode(record));
  }

  /** Lists an organization's events, newest first. Throws AuditPageTokenError for a token of another list. */
  async list(query: ListAuditEventsQuery): Promise<AuditPage> {
    const { organizationId, sandboxId = "", action = "" } = query;
    const filter = [organizationId, sandboxId, action];
    const size = Math.min(query.pageSize > 0 ? query.pageSize : 100, 1_000);
    const before = decodeAuditPageToken(query.pageToken, filter);
    const { rows } = await this.#database.query<AuditRow>(
      `select ${auditColumns} from audit_events
        where organization_id = $1
          and ($2 = '' or sandbox_id = $2)
          and ($3 = '' or action = $3)
          and ($4::bigint is null or sequence < $4)
        order by sequence desc
        limit $5`,
      [organizationId, sandboxId, action, before ?? null, size + 1],
    );
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      events: page.map(toAuditEvent),
      nextPageToken: rows.length > size && last !== undefined ? encodeAuditPageToken(last.sequence, filter) : "",
    };
  }

  /**
   * Checks every record against the chain and names the first that is broken. `expected` is the head of an earlier check, kept
   * elsewhere: with it, a log that was rewritten whole is found out too.
   */
  async verify(
    options: { readonly expected?: AuditHead; readonly signal?: AbortSignal } = {},
  ): Promise<AuditVerification> {
    return verifyAuditLog(this.#database, options);
  }

  /** Takes no more records; resolves when those taken are written or rejected. */
  async close(): Promise<void> {
    await this.#group.close();
  }

  #encode(record: AuditRecord): string {
    return encodeAuditRecord(toStoredRecord(record, Math.trunc(this.#clock())));
  }
}

async function appendEncoded(client: AuditSqlClient, encoded: readonly string[]): Promise<void> {
  await client.query("select append_audit_events($1::text[])", [encoded]);
}

function toAuditEvent(row: AuditRow): AuditEvent {
  const record = storedRecordOf(row);
  return create(AuditEventSchema, {
    sequence: row.sequence,
    time: timestampFromMs(record.timeMs),
    action: record.action,
    principal: record.principal,
    peer: record.peer,
    organizationId: record.organizationId,
    sandboxId: record.sandboxId,
    details: record.details,
    hash: row.hash.toString("hex"),
  });
}
