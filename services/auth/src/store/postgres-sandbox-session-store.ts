import type { AuditLog, AuditRecord } from "@sandgate/audit";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { decideOpening, MAX_LIVE_SESSIONS, type SandboxSessionRecord } from "../domain/sandbox-session.ts";
import { type SandboxRow, sandboxColumns, toSandboxRecord } from "./auth-rows.ts";
import type { Actor, Change } from "./auth-store.ts";
import { CLOCK_ALLOWANCE_MS, type EndedRow, tokenRevocation } from "./end-sandbox-sessions.ts";
import type { RevocationTarget, SandboxSessionStore } from "./sandbox-session-store.ts";
import { appendTrustChanges } from "./trust-changes.ts";

/** So many are revoked in one transaction, which holds up every other change of trust. */
const REVOCATION_BATCH = 1_000;

/** Keeps the sessions of container tokens in PostgreSQL. */
export class PostgresSandboxSessionStore implements SandboxSessionStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async open(
    session: Parameters<SandboxSessionStore["open"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<SandboxSessionStore["open"]> {
    return withTransaction(this.#pool, async (tx) => {
      // the sandbox's end takes the row's lock: it comes before, and this token is refused, or after, and ends it
      const { rows } = await tx.query<SandboxRow>(`select ${sandboxColumns} from sandboxes where id = $1 for share`, [
        session.sandboxId,
      ]);
      const record = rows[0] && toSandboxRecord(rows[0]);
      const liveCount = await countLive(tx, session, now);
      const decision = decideOpening(record, { incarnation: session.incarnation, liveCount });
      if (record === undefined || decision !== "open") return decision;
      await tx.query(
        `insert into sandbox_sessions (token_id, token_sha256, sandbox_id, organization_id, user_id, by_supervisor,
                incarnation, audience, issue_time, expire_time, key_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
        [
          session.tokenId,
          session.tokenSha256,
          session.sandboxId,
          record.organizationId,
          session.userId ?? record.ownerUserId,
          session.bySupervisor,
          session.incarnation,
          session.audience,
          new Date(session.issuedAtMs),
          new Date(session.expiresAtMs),
          session.keyId,
        ],
      );
      await this.#audit.append(tx, {
        action: "egress_token.issued",
        ...actor,
        organizationId: record.organizationId,
        sandboxId: session.sandboxId,
        details: {
          token_id: session.tokenId,
          incarnation: String(session.incarnation),
          audience: session.audience,
          expire_time: new Date(session.expiresAtMs).toISOString(),
          ...(session.allowedHosts === undefined ? {} : { allowed_hosts: session.allowedHosts.join(",") }),
        },
      });
      return decision;
    });
  }

  async find(
    organizationId: string,
    key: Parameters<SandboxSessionStore["find"]>[1],
    now: number,
  ): Promise<SandboxSessionRecord | undefined> {
    const { rows } = await this.#pool.query<SandboxSessionRow>(
      `select ${columns} from sandbox_sessions
        where ${key.kind === "token_id" ? "token_id" : "token_sha256"} = $1
          and organization_id = $2 and revoke_time is null and expire_time > $3 and ${keyIsTrusted}`,
      [key.value, organizationId, new Date(now)],
    );
    return rows[0] && toRecord(rows[0]);
  }

  async list(query: Parameters<SandboxSessionStore["list"]>[0], now: number): ReturnType<SandboxSessionStore["list"]> {
    const { before } = query;
    const { rows } = await this.#pool.query<SandboxSessionRow>(
      `select ${columns} from sandbox_sessions
        where organization_id = $1
          and ($2::text is null or sandbox_id = $2)
          and ($3::uuid is null or user_id = $3)
          and revoke_time is null and expire_time > $4 and ${keyIsTrusted}
          and ($5::timestamptz is null or (issue_time, token_id) < ($5, $6))
        order by issue_time desc, token_id desc
        limit $7`,
      [
        query.organizationId,
        query.sandboxId ?? null,
        query.userId ?? null,
        new Date(now),
        before === undefined ? null : new Date(before.issuedAtMs),
        before?.tokenId ?? null,
        query.pageSize + 1,
      ],
    );
    return { items: rows.slice(0, query.pageSize).map(toRecord), more: rows.length > query.pageSize };
  }

  async revoke(
    organizationId: string,
    target: RevocationTarget,
    reason: string,
    now: number,
    actor: Actor,
  ): Promise<Change<number | undefined>> {
    if (target.kind === "token" && !(await this.#isKnown(organizationId, target.tokenId)))
      return { decision: undefined, sequence: undefined };
    let revoked = 0;
    let last: bigint | undefined;
    for (;;) {
      const { count, sequence } = await this.#revokeBatch(organizationId, target, reason, now, actor);
      revoked += count;
      last = sequence ?? last;
      if (count < REVOCATION_BATCH) return { decision: revoked, sequence: last };
    }
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query("delete from sandbox_sessions where expire_time < $1", [new Date(now - CLOCK_ALLOWANCE_MS)]);
  }

  async #isKnown(organizationId: string, tokenId: string): Promise<boolean> {
    const { rows } = await this.#pool.query(
      "select token_id from sandbox_sessions where token_id = $1 and organization_id = $2",
      [tokenId, organizationId],
    );
    return rows.length > 0;
  }

  async #revokeBatch(
    organizationId: string,
    target: RevocationTarget,
    reason: string,
    now: number,
    actor: Actor,
  ): Promise<{ readonly count: number; readonly sequence: bigint | undefined }> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<EndedRow & { readonly sandbox_id: string }>(
        `update sandbox_sessions set revoke_time = $1
          where token_id in (
            select token_id from sandbox_sessions
             where organization_id = $2 and revoke_time is null and expire_time > $3
               and ($4::text is null or token_id = $4)
               and ($5::text is null or sandbox_id = $5)
               and ($6::uuid is null or user_id = $6)
             order by token_id
             limit $7
               for update)
          returning token_id, sandbox_id, expire_time`,
        [
          new Date(now),
          organizationId,
          new Date(now - CLOCK_ALLOWANCE_MS),
          target.kind === "token" ? target.tokenId : null,
          target.kind === "sandbox" ? target.sandboxId : null,
          target.kind === "user" ? target.userId : null,
          REVOCATION_BATCH,
        ],
      );
      if (rows.length === 0) return { count: 0, sequence: undefined };
      const sequence = await appendTrustChanges(tx, rows.map(tokenRevocation));
      const records = rows.map(
        ({ token_id, sandbox_id }): AuditRecord => ({
          action: "egress_token.revoked",
          ...actor,
          organizationId,
          sandboxId: sandbox_id,
          details: { token_id, reason, by: target.kind },
        }),
      );
      await this.#audit.append(tx, ...records);
      return { count: rows.length, sequence };
    });
  }
}

/** How many live tokens there are of the same origin; counted no further than matters. */
async function countLive(
  tx: SqlClient,
  session: { readonly sandboxId: string; readonly bySupervisor: boolean },
  now: number,
): Promise<number> {
  const { rows } = await tx.query<{ count: bigint }>(
    `select count(*) as count from (
       select from sandbox_sessions
        where sandbox_id = $1 and by_supervisor = $2 and revoke_time is null and expire_time > $3
        limit $4) as live`,
    [session.sandboxId, session.bySupervisor, new Date(now), MAX_LIVE_SESSIONS],
  );
  return Number(rows[0]?.count ?? 0n);
}

const keyIsTrusted = `not exists (
            select from signing_keys where signing_keys.kid = sandbox_sessions.key_id and signing_keys.revoke_time is not null)`;

interface SandboxSessionRow {
  readonly token_id: string;
  readonly token_sha256: string;
  readonly sandbox_id: string;
  readonly organization_id: string;
  readonly user_id: string;
  readonly by_supervisor: boolean;
  readonly incarnation: bigint;
  readonly audience: string;
  readonly issue_time: Date;
  readonly expire_time: Date;
}

const columns =
  "token_id, token_sha256, sandbox_id, organization_id, user_id, by_supervisor, incarnation, audience, issue_time, expire_time";

function toRecord(row: SandboxSessionRow): SandboxSessionRecord {
  return {
    tokenId: row.token_id,
    tokenSha256: row.token_sha256,
    sandboxId: row.sandbox_id,
    organizationId: row.organization_id,
    userId: row.user_id,
    bySupervisor: row.by_supervisor,
    incarnation: row.incarnation,
    audience: row.audience,
    issuedAtMs: row.issue_time.getTime(),
    expiresAtMs: row.expire_time.getTime(),
  };
}
