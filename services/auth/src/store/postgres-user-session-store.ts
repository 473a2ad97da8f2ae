import type { AuditLog } from "@sandgate/audit";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { decideRotation } from "../domain/session-rotation.ts";
import type { TrustChange } from "../domain/trust-change.ts";
import type { Actor } from "./auth-store.ts";
import { endUserSessions } from "./end-user-sessions.ts";
import { appendTrustChanges } from "./trust-changes.ts";
import type { UserSessionRecord, UserSessionStore } from "./user-session-store.ts";

const MAX_SESSIONS = 20;

interface SessionRow {
  readonly session_id: string;
  readonly user_id: string;
  readonly organization_id: string;
  readonly role: number;
  readonly name: string;
  readonly login: string | null;
  readonly active: boolean;
  readonly expire_time: Date;
  readonly end_time: Date | null;
  readonly session_generation: number;
}

interface PresentedRow extends SessionRow {
  readonly is_current: boolean;
  readonly generation: number;
  readonly request_hash: Buffer | null;
}

const sessionColumns = `s.id as session_id, s.user_id, s.organization_id, u.role, u.name, u.login, u.active, s.expire_time, s.end_time,
  s.generation as session_generation`;

/** Keeps login sessions in PostgreSQL. */
export class PostgresUserSessionStore implements UserSessionStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;
  readonly #spiffeIdOf: (userId: string) => string;

  constructor(deps: {
    readonly pool: Pool;
    readonly audit: Pick<AuditLog, "append">;
    /** The SPIFFE id of a user. */
    readonly spiffeIdOf: (userId: string) => string;
  }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
    this.#spiffeIdOf = deps.spiffeIdOf;
  }

  async start(
    session: Parameters<UserSessionStore["start"]>[0],
    now: number,
    actor: Actor,
  ): ReturnType<UserSessionStore["start"]> {
    const { sessionId, userId, refreshHash, expiresAtMs } = session;
    return withTransaction(this.#pool, async (tx) => {
      const { rows: users } = await tx.query<{
        organization_id: string;
        role: number;
        name: string;
        login: string | null;
      }>(
        `update users set last_login_time = $2 where id = $1 and active returning organization_id, role, name, login`,
        [userId, new Date(now)],
      );
      const [user] = users;
      if (user === undefined) return { decision: undefined, sequence: undefined };
      await tx.query(
        `insert into user_sessions (id, user_id, organization_id, create_time, refresh_time, expire_time, generation, current_hash)
         values ($1, $2, $3, $4, $4, $5, 0, $6)`,
        [sessionId, userId, user.organization_id, new Date(now), new Date(expiresAtMs), refreshHash],
      );
      await tx.query("insert into user_refresh_tokens (hash, session_id, generation) values ($1, $2, 0)", [
        refreshHash,
        sessionId,
      ]);
      const changes = await endOldest(tx, userId, now);
      const sequence = changes.length === 0 ? undefined : await appendTrustChanges(tx, changes);
      await this.#audit.append(tx, {
        action: "user.logged_in",
        ...actor,
        organizationId: user.organization_id,
        details: { user_id: userId, session_id: sessionId },
      });
      const { role, name, login } = user;
      const record = {
        sessionId,
        userId,
        organizationId: user.organization_id,
        role,
        name,
        login: login ?? "",
        expiresAtMs,
      };
      return { decision: record, sequence };
    });
  }

  async rotate(
    rotation: Parameters<UserSessionStore["rotate"]>[0],
    now: number,
    peer: string,
  ): ReturnType<UserSessionStore["rotate"]> {
    const { presentedHash, nextHash, requestHash } = rotation;
    return withTransaction(this.#pool, async (tx) => {
      const token = await lockPresented(tx, presentedHash);
      if (token === undefined) return { decision: "absent", session: undefined, sequence: undefined };
      const decision = decideRotation(
        {
          isCurrent: token.is_current,
          generation: token.generation,
          requestHash: token.request_hash?.toString("hex"),
          session: {
            generation: token.session_generation,
            expiresAtMs: token.expire_time.getTime(),
            isEnded: token.end_time !== null,
            isUserActive: token.active,
          },
        },
        requestHash,
        now,
      );
      const session = toRecord(token);
      if (decision === "reused") {
        const changes = await endUserSessions(tx, { userId: token.user_id, sessionId: token.session_id }, now);
        const sequence = await appendTrustChanges(tx, changes);
        await this.#append(tx, token, peer, "session.reuse_detected", { generation: String(token.generation) });
        return { decision, session, sequence };
      }
      if (decision === "rotate")
        await tx.query("update user_refresh_tokens set request_hash = $2 where hash = $1", [
          presentedHash,
          Buffer.from(requestHash, "hex"),
        ]);
      if (decision === "rotate" || decision === "repeat") {
        const generation = token.generation + 1;
        await tx.query("update user_sessions set generation = $2, current_hash = $3, refresh_time = $4 where id = $1", [
          token.session_id,
          generation,
          nextHash,
          new Date(now),
        ]);
        await tx.query("insert into user_refresh_tokens (hash, session_id, generation) values ($1, $2, $3)", [
          nextHash,
          token.session_id,
          generation,
        ]);
        await this.#append(tx, token, peer, "session.refreshed", { generation: String(generation) });
      }
      return { decision, session, sequence: undefined };
    });
  }

  async end(
    refreshHash: Uint8Array,
    options: { readonly everywhere: boolean },
    now: number,
    peer: string,
  ): ReturnType<UserSessionStore["end"]> {
    return withTransaction(this.#pool, async (tx) => {
      const token = await lockPresented(tx, refreshHash);
      if (token === undefined) return { decision: "absent", sequence: undefined };
      // who holds a token that has ended, or was replaced, may end no more than its own session
      const everywhere = options.everywhere && token.is_current && token.end_time === null;
      const which = everywhere ? {} : { sessionId: token.session_id };
      const changes = await endUserSessions(tx, { userId: token.user_id, ...which }, now);
      if (changes.length === 0) return { decision: "unchanged", sequence: undefined };
      const sequence = await appendTrustChanges(tx, changes);
      await this.#append(tx, token, peer, "user.logged_out", { sessions: String(changes.length) });
      return { decision: "ended", sequence };
    });
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query("delete from user_sessions where expire_time < $1", [new Date(now)]);
  }

  async #append(
    tx: SqlClient,
    token: PresentedRow,
    peer: string,
    action: string,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#audit.append(tx, {
      action,
      principal: this.#spiffeIdOf(token.user_id),
      peer,
      organizationId: token.organization_id,
      details: { ...details, user_id: token.user_id, session_id: token.session_id },
    });
  }
}

/** A refresh token and its session, and with them the right to change that session until the transaction ends. */
async function lockPresented(tx: SqlClient, hash: Uint8Array): Promise<PresentedRow | undefined> {
  const { rows: tokens } = await tx.query<{ session_id: string; user_id: string }>(
    "select s.id as session_id, s.user_id from user_refresh_tokens t join user_sessions s on s.id = t.session_id where t.hash = $1",
    [hash],
  );
  const [found] = tokens;
  if (found === undefined) return undefined;
  // the user first, as everything that ends sessions does; what is read is read after the locks
  await tx.query("select from users where id = $1 for no key update", [found.user_id]);
  await tx.query("select from user_sessions where id = $1 for update", [found.session_id]);
  const { rows } = await tx.query<PresentedRow>(
    `select ${sessionColumns}, s.current_hash = t.hash as is_current, t.generation, t.request_hash
       from user_refresh_tokens t
       join user_sessions s on s.id = t.session_id
       join users u on u.id = s.user_id
      where t.hash = $1`,
    [hash],
  );
  return rows[0];
}

async function endOldest(tx: SqlClient, userId: string, now: number): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<{ id: string }>(
    `select id from user_sessions where user_id = $1 and end_time is null and expire_time > $2
      order by create_time desc, id offset $3`,
    [userId, new Date(now), MAX_SESSIONS],
  );
  const changes: TrustChange[] = [];
  for (const { id } of rows) changes.push(...(await endUserSessions(tx, { userId, sessionId: id }, now)));
  return changes;
}

function toRecord(row: SessionRow): UserSessionRecord {
  return {
    sessionId: row.session_id,
    userId: row.user_id,
    organizationId: row.organization_id,
    role: row.role,
    name: row.name,
    login: row.login ?? "",
    expiresAtMs: row.expire_time.getTime(),
  };
}
