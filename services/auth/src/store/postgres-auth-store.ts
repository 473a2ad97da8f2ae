import { RevocationKind, type SandboxSubject, type UserSubject } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import type { SandboxScope } from "@sandgate/identity";
import { isUniqueViolation, type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { decideEnrolment } from "../domain/enrolment.ts";
import type { OperatorRecord } from "../domain/operator-record.ts";
import { decideRegistration, type Registration } from "../domain/registration.ts";
import { decideRejoin } from "../domain/rejoining.ts";
import { decideRenewal } from "../domain/renewal.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SessionRecord } from "../domain/session-record.ts";
import type { TrustChange, TrustEvent } from "../domain/trust-change.ts";
import {
  type SandboxRow,
  type SessionRow,
  sandboxColumns,
  sessionColumns,
  type TrustEventRow,
  toSandboxRecord,
  toSandboxSubject,
  toSessionRecord,
  toTrustEvent,
  toUserSubject,
  type UserRow,
  userColumns,
} from "./auth-rows.ts";
import type { Actor, AuthStore, EnrolledKey, TrustOpening } from "./auth-store.ts";
import { CLOCK_ALLOWANCE_MS, endSandboxSessions } from "./end-sandbox-sessions.ts";
import { appendTrustChanges, subjectChange } from "./trust-changes.ts";

/** No credential of a sandbox lives longer (a session token, 24 hours), clocks that differ allowed for. */
const CREDENTIAL_LIFE_MS = 25 * 3_600_000;
const TRUST_PAGE = 1_000;

/** Keeps Auth's register in PostgreSQL. */
export class PostgresAuthStore implements AuthStore {
  readonly #pool: Pool;
  readonly #audit: Pick<AuditLog, "append">;

  constructor(deps: { readonly pool: Pool; readonly audit: Pick<AuditLog, "append"> }) {
    this.#pool = deps.pool;
    this.#audit = deps.audit;
  }

  async findSandbox(sandboxId: string): Promise<SandboxSubject | undefined> {
    const record = await findRecord(this.#pool, sandboxId);
    return record && toSandboxSubject(record);
  }

  async findSandboxByName(organizationId: string, name: string): Promise<SandboxSubject | undefined> {
    const { rows } = await this.#pool.query<SandboxRow>(
      `select ${sandboxColumns} from sandboxes where organization_id = $1 and name = $2 and alive`,
      [organizationId, name],
    );
    return rows[0] && toSandboxSubject(toSandboxRecord(rows[0]));
  }

  async findUser(userId: string): Promise<UserSubject | undefined> {
    const { rows } = await this.#pool.query<UserRow>(`select ${userColumns} from users where id = $1`, [userId]);
    return rows[0] && toUserSubject(rows[0]);
  }

  async registerSandbox(
    registration: Registration,
    now: number,
    actor: Actor,
  ): ReturnType<AuthStore["registerSandbox"]> {
    const { sandboxId, organizationId, name, ownerUserId, incarnation } = registration;
    try {
      return await withTransaction(this.#pool, async (tx) => {
        const { rows } = await tx.query<SandboxRow>(
          `insert into sandboxes (id, organization_id, name, owner_user_id, incarnation, alive, trusted)
           values ($1, $2, $3, $4, $5, true, true)
           on conflict (id) do nothing
           returning ${sandboxColumns}`,
          [sandboxId, organizationId, name, ownerUserId, incarnation],
        );
        if (rows[0] !== undefined) {
          await this.#append(tx, actor, "sandbox.registered", rows[0], { incarnation: String(incarnation) });
          return { decision: "inserted", record: toSandboxRecord(rows[0]), sequence: undefined };
        }
        const record = await lockRecord(tx, sandboxId);
        if (record === undefined) throw new Error("a sandbox that is in the way of its registration is gone");
        const decision = decideRegistration(record, registration);
        if (decision !== "advance") return { decision, record, sequence: undefined };
        const advanced = await advance(tx, sandboxId, incarnation);
        const sequence = await appendTrustChanges(tx, [
          ...(await revocationsOf(tx, record, now)),
          subjectChange("sandbox", sandboxId, now),
        ]);
        await this.#append(tx, actor, "sandbox.registered", advanced, { incarnation: String(incarnation) });
        return { decision, record: toSandboxRecord(advanced), sequence };
      });
    } catch (error) {
      if (isUniqueViolation(error, "sandboxes_living_name"))
        return { decision: "name_taken", record: undefined, sequence: undefined };
      throw error;
    }
  }

  async retireSandbox(sandboxId: string, now: number, actor: Actor): ReturnType<AuthStore["retireSandbox"]> {
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, sandboxId);
      if (record === undefined) return { decision: "absent", sequence: undefined };
      if (!record.alive) return { decision: "unchanged", sequence: undefined };
      const row = await change(
        tx,
        `update sandboxes set alive = false, trusted = false, bootstrap_hash = null, bootstrap_expire_time = null,
                bootstrap_key_thumbprint = null
          where id = $1 returning ${sandboxColumns}`,
        [sandboxId],
      );
      const sequence = await appendTrustChanges(tx, [
        {
          kind: "revocation",
          revocationKind: RevocationKind.SANDBOX,
          subject: sandboxId,
          expiresAtMs: now + CREDENTIAL_LIFE_MS,
        },
        ...(await revocationsOf(tx, record, now)),
        subjectChange("sandbox", sandboxId, now),
      ]);
      await this.#append(tx, actor, "sandbox.retired", row, {});
      return { decision: "retired", sequence };
    });
  }

  async endIncarnation(
    ...[sandboxId, incarnation, now, actor]: Parameters<AuthStore["endIncarnation"]>
  ): ReturnType<AuthStore["endIncarnation"]> {
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, sandboxId);
      if (record === undefined || !record.alive) return { decision: "absent", sequence: undefined };
      if (record.incarnation !== incarnation) return { decision: "other_incarnation", sequence: undefined };
      if (!record.trusted) return { decision: "unchanged", sequence: undefined };
      const sequence = await revokeIncarnation(tx, record, now);
      await this.#appendRecord(tx, actor, "sandbox.ended", record, { incarnation: String(incarnation) });
      return { decision: "ended", sequence };
    });
  }

  async replaceBootstrap(
    credential: Parameters<AuthStore["replaceBootstrap"]>[0],
    actor: Actor,
  ): ReturnType<AuthStore["replaceBootstrap"]> {
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, credential.sandboxId);
      const organizationId = record?.organizationId ?? "";
      if (record === undefined || !record.alive) return { decision: "absent", organizationId };
      if (record.incarnation !== credential.incarnation) return { decision: "other_incarnation", organizationId };
      if (!record.trusted) return { decision: "revoked", organizationId };
      const row = await change(
        tx,
        `update sandboxes set bootstrap_hash = $2, bootstrap_expire_time = $3, bootstrap_key_thumbprint = null
          where id = $1 returning ${sandboxColumns}`,
        [credential.sandboxId, credential.hash, new Date(credential.expiresAtMs)],
      );
      await this.#append(tx, actor, "bootstrap.created", row, { incarnation: String(record.incarnation) });
      return { decision: "created", organizationId };
    });
  }

  async enrol(
    scope: SandboxScope,
    enrolment: Parameters<AuthStore["enrol"]>[1],
    now: number,
    actor: Actor,
  ): ReturnType<AuthStore["enrol"]> {
    const { session, proof, publicKeyDer } = enrolment;
    const { incarnation, keyThumbprint } = session;
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, scope.sandboxId);
      const decision =
        record === undefined ? "revoked" : decideEnrolment(record, { incarnation, proof, keyThumbprint, now });
      if (record === undefined || decision !== "enrol") return { decision, sequence: undefined };
      if (proof.kind === "pod" && !(await bindPod(tx, proof.uid, session)))
        return { decision: "used", sequence: undefined };
      const row = await change(
        tx,
        `update sandboxes set public_key = $2, key_thumbprint = $3, bootstrap_key_thumbprint = $3,
                rejoin_count = case when key_thumbprint = $3 then rejoin_count else 0 end
          where id = $1 returning ${sandboxColumns}`,
        [scope.sandboxId, publicKeyDer, keyThumbprint],
      );
      const hasOtherKey = record.keyThumbprint !== undefined && record.keyThumbprint !== keyThumbprint;
      const revocations = hasOtherKey ? await credentialRevocations(tx, scope.sandboxId, now) : [];
      await insertSession(tx, session, undefined);
      const sequence = await appendTrustChanges(tx, [...revocations, subjectChange("sandbox", scope.sandboxId, now)]);
      const details = { ...sessionDetails(session), ...(proof.kind === "pod" && { pod_uid: proof.uid }) };
      await this.#append(tx, actor, "token.issued", row, details);
      return { decision, sequence };
    });
  }

  async refresh(
    scope: SandboxScope,
    renewal: Parameters<AuthStore["refresh"]>[1],
    now: number,
    actor: Actor,
  ): ReturnType<AuthStore["refresh"]> {
    const { tokenId, session } = renewal;
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, scope.sandboxId);
      if (record === undefined) return { decision: "revoked", session, sequence: undefined };
      const { current, successor } = await findSessions(tx, tokenId);
      const decision = decideRenewal({
        record,
        session: current,
        successor,
        keyThumbprint: session.keyThumbprint,
        now,
      });
      if (decision !== "renew" || current === undefined)
        return { decision, session: successor ?? session, sequence: undefined };
      await insertSession(tx, session, tokenId);
      const sequence = await appendTrustChanges(tx, [
        {
          kind: "revocation",
          revocationKind: RevocationKind.SUPERSEDED_TOKEN,
          subject: tokenId,
          expiresAtMs: current.expiresAtMs + CLOCK_ALLOWANCE_MS,
        },
      ]);
      const details = { ...sessionDetails(session), superseded_token_id: tokenId };
      await this.#appendRecord(tx, actor, "token.refreshed", record, details);
      return { decision, session, sequence };
    });
  }

  async findEnrolledKey(sandboxId: string): Promise<EnrolledKey | undefined> {
    const record = await findRecord(this.#pool, sandboxId);
    if (record?.publicKeyDer === undefined || record.keyThumbprint === undefined) return undefined;
    const { publicKeyDer, keyThumbprint, organizationId, incarnation } = record;
    return { publicKeyDer, keyThumbprint, organizationId, incarnation };
  }

  async rejoin(rejoin: Parameters<AuthStore["rejoin"]>[0], now: number, actor: Actor): ReturnType<AuthStore["rejoin"]> {
    const { rejoinCount, session } = rejoin;
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, session.sandboxId);
      const decision =
        record === undefined || record.incarnation !== session.incarnation
          ? "refuse"
          : decideRejoin(record, { keyThumbprint: session.keyThumbprint, rejoinCount });
      if (record === undefined || decision === "refuse") return { decision, sequence: undefined };
      const details = { rejoin_count: String(rejoinCount) };
      if (decision === "cloned") {
        const sequence = await revokeIncarnation(tx, record, now);
        await this.#appendRecord(tx, actor, "sandbox.key_cloned", record, details);
        return { decision, sequence };
      }
      await tx.query("update sandboxes set rejoin_count = $2 where id = $1", [session.sandboxId, rejoinCount]);
      const ended = await endSessions(tx, session.sandboxId, now);
      await insertSession(tx, session, undefined);
      const sequence = ended.length > 0 ? await appendTrustChanges(tx, ended) : undefined;
      await this.#appendRecord(tx, actor, "sandbox.rejoined", record, { ...details, ...sessionDetails(session) });
      return { decision, sequence };
    });
  }

  async revokeSandbox(
    scope: SandboxScope,
    reason: string,
    now: number,
    actor: Actor,
  ): ReturnType<AuthStore["revokeSandbox"]> {
    return withTransaction(this.#pool, async (tx) => {
      const record = await lockRecord(tx, scope.sandboxId);
      if (record === undefined || !record.alive) return { decision: "absent", sequence: undefined };
      if (!record.trusted) return { decision: "unchanged", sequence: undefined };
      const sequence = await revokeIncarnation(tx, record, now);
      await this.#appendRecord(tx, actor, "sandbox.revoked", record, {
        reason,
        incarnation: String(record.incarnation),
      });
      return { decision: "revoked", sequence };
    });
  }

  async listLivingSandboxIds(): Promise<readonly string[]> {
    const { rows } = await this.#pool.query<{ id: string }>("select id from sandboxes where alive order by id");
    return rows.map(({ id }) => id);
  }

  async replaceOperators(operators: readonly OperatorRecord[], now: number, actor: Actor): Promise<void> {
    await withTransaction(this.#pool, async (tx) => {
      await tx.query("lock table users in share row exclusive mode");
      const { rows: before } = await tx.query<UserRow & { source: string }>(`select ${userColumns}, source from users`);
      const known = new Map(before.map((row) => [row.id, row]));
      const named = new Set(operators.map(({ userId }) => userId));
      const configured = operators.filter((operator) => !isSameUser(known.get(operator.userId), operator));
      const dropped = before.filter((row) => row.source === "configuration" && row.active && !named.has(row.id));
      for (const operator of configured) await upsertOperator(tx, operator);
      for (const row of dropped) await tx.query("update users set active = false where id = $1", [row.id]);
      const changed = [...configured.map(({ userId }) => userId), ...dropped.map(({ id }) => id)];
      if (changed.length === 0) return;
      await appendTrustChanges(
        tx,
        // who was not known before has no session that could be revoked
        changed.flatMap((userId) => [
          ...(known.has(userId) ? [userRevocation(userId, now)] : []),
          subjectChange("user", userId, now),
        ]),
      );
      for (const operator of configured)
        await this.#append(tx, actor, "user.configured", operatorRow(operator), { role: String(operator.role) });
      for (const row of dropped) await this.#append(tx, actor, "user.switched_off", row, {});
    });
  }

  async openTrust(afterSequence: bigint, now: number): Promise<TrustOpening> {
    const { rows: heads } = await this.#pool.query<{ sequence: bigint; pruned_through: bigint }>(
      "select sequence, pruned_through from trust_head",
    );
    const head = heads[0];
    if (
      head !== undefined &&
      afterSequence > 0n &&
      afterSequence >= head.pruned_through &&
      afterSequence <= head.sequence
    ) {
      const { head: sequence, events } = await this.readTrust(afterSequence);
      if (events.length < TRUST_PAGE) return { kind: "changes", sequence, events };
    }
    const { rows } = await this.#pool.query<TrustEventRow & { head: bigint }>(
      `select h.sequence as head, e.sequence, e.kind, e.revocation_kind, e.subject, e.issued_before, e.expire_time
         from trust_head h
         left join trust_events e on e.kind = 'revocation' and e.expire_time > $1
        order by e.sequence`,
      [new Date(now)],
    );
    const revocations = rows.filter((row) => row.sequence !== null).map(toTrustEvent);
    return { kind: "snapshot", sequence: rows[0]?.head ?? 0n, revocations };
  }

  async readTrust(afterSequence: bigint): Promise<{ head: bigint; events: readonly TrustEvent[] }> {
    const { rows } = await this.#pool.query<TrustEventRow & { head: bigint }>(
      `select h.sequence as head, e.sequence, e.kind, e.revocation_kind, e.subject, e.issued_before, e.expire_time
         from trust_head h
         left join trust_events e on e.sequence > $1
        order by e.sequence
        limit $2`,
      [afterSequence, TRUST_PAGE],
    );
    return { head: rows[0]?.head ?? 0n, events: rows.filter((row) => row.sequence !== null).map(toTrustEvent) };
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query("delete from sessions where certificate_expire_time < $1 and expire_time < $1", [
      new Date(now - CLOCK_ALLOWANCE_MS),
    ]);
    // only a prefix is cut off, so that whoever is past it can go on without a gap
    await this.#pool.query(
      `with head as (
         select coalesce((select min(sequence) - 1 from trust_events where expire_time >= $1), sequence) as through
           from trust_head for update
       ), gone as (
         delete from trust_events using head where trust_events.sequence <= head.through returning trust_events.sequence
       )
       update trust_head set pruned_through = greatest(pruned_through, (select max(sequence) from gone))
        where exists (select from gone)`,
      [new Date(now)],
    );
  }

  /** The audit record of a change, in its transaction. */
  async #append(
    tx: SqlClient,
    actor: Actor,
    action: string,
    about: { readonly id: string; readonly organization_id: string },
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    const isSandbox = about.id.startsWith("sbx-");
    await this.#audit.append(tx, {
      action,
      ...actor,
      organizationId: about.organization_id,
      ...(isSandbox ? { sandboxId: about.id } : {}),
      details: isSandbox ? details : { ...details, user_id: about.id },
    });
  }

  async #appendRecord(
    tx: SqlClient,
    actor: Actor,
    action: string,
    record: SandboxRecord,
    details: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#append(tx, actor, action, { id: record.sandboxId, organization_id: record.organizationId }, details);
  }
}

async function findRecord(client: SqlClient, sandboxId: string): Promise<SandboxRecord | undefined> {
  const { rows } = await client.query<SandboxRow>(`select ${sandboxColumns} from sandboxes where id = $1`, [sandboxId]);
  return rows[0] && toSandboxRecord(rows[0]);
}

/** The sandbox, and with it the right to change it until the transaction ends. */
async function lockRecord(tx: SqlClient, sandboxId: string): Promise<SandboxRecord | undefined> {
  const { rows } = await tx.query<SandboxRow>(`select ${sandboxColumns} from sandboxes where id = $1 for update`, [
    sandboxId,
  ]);
  return rows[0] && toSandboxRecord(rows[0]);
}

/** The one row that a statement changed. */
async function change(tx: SqlClient, text: string, values: unknown[]): Promise<SandboxRow> {
  const { rows } = await tx.query<SandboxRow>(text, values);
  if (rows[0] === undefined) throw new Error("a locked sandbox is gone");
  return rows[0];
}

function advance(tx: SqlClient, sandboxId: string, incarnation: bigint): Promise<SandboxRow> {
  return change(
    tx,
    `update sandboxes set incarnation = $2, trusted = true, public_key = null, key_thumbprint = null, rejoin_count = 0,
            bootstrap_hash = null, bootstrap_expire_time = null, bootstrap_key_thumbprint = null
      where id = $1 returning ${sandboxColumns}`,
    [sandboxId, incarnation],
  );
}

async function revokeIncarnation(tx: SqlClient, record: SandboxRecord, now: number): Promise<bigint> {
  await tx.query(
    `update sandboxes set trusted = false, bootstrap_hash = null, bootstrap_expire_time = null,
            bootstrap_key_thumbprint = null
      where id = $1`,
    [record.sandboxId],
  );
  return appendTrustChanges(tx, [
    ...(await revocationsOf(tx, record, now)),
    subjectChange("sandbox", record.sandboxId, now),
  ]);
}

/**
 * Ends the sessions that a rejoin takes the place of: one holder of a key has one chain of sessions, so that a second one is refused, must
 * rejoin, and is found out by his count. What is open goes on, as after a refresh.
 */
async function endSessions(tx: SqlClient, sandboxId: string, now: number): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<Pick<SessionRow, "token_id" | "expire_time">>(
    `update sessions set ended = true where sandbox_id = $1 and not ended and expire_time > $2
      returning token_id, expire_time`,
    [sandboxId, new Date(now - CLOCK_ALLOWANCE_MS)],
  );
  return rows.map((row) => ({
    kind: "revocation",
    revocationKind: RevocationKind.SUPERSEDED_TOKEN,
    subject: row.token_id,
    expiresAtMs: row.expire_time.getTime() + CLOCK_ALLOWANCE_MS,
  }));
}

/** The incarnation, every certificate of it that is still valid, and every container token. */
async function revocationsOf(tx: SqlClient, record: SandboxRecord, now: number): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<Pick<SessionRow, "certificate_sha256" | "certificate_expire_time">>(
    `select certificate_sha256, certificate_expire_time from sessions
      where sandbox_id = $1 and incarnation = $2 and certificate_expire_time > $3`,
    [record.sandboxId, record.incarnation, new Date(now)],
  );
  return [
    {
      kind: "revocation",
      revocationKind: RevocationKind.INCARNATION,
      subject: `${record.sandboxId}/${record.incarnation}`,
      expiresAtMs: now + CREDENTIAL_LIFE_MS,
    },
    ...rows.map(certificateRevocation),
    ...(await endSandboxSessions(tx, record.sandboxId, now)),
  ];
}

/** Every token and certificate of a sandbox that is still valid. */
async function credentialRevocations(tx: SqlClient, sandboxId: string, now: number): Promise<readonly TrustChange[]> {
  const { rows } = await tx.query<SessionRow>(
    `select ${sessionColumns} from sessions
      where sandbox_id = $1 and (certificate_expire_time > $2 or expire_time > $2)`,
    [sandboxId, new Date(now)],
  );
  return rows.flatMap((row) => [
    {
      kind: "revocation" as const,
      revocationKind: RevocationKind.TOKEN,
      subject: row.token_id,
      expiresAtMs: row.expire_time.getTime() + CLOCK_ALLOWANCE_MS,
    },
    certificateRevocation(row),
  ]);
}

function certificateRevocation(row: Pick<SessionRow, "certificate_sha256" | "certificate_expire_time">): TrustChange {
  return {
    kind: "revocation",
    revocationKind: RevocationKind.CERTIFICATE,
    subject: row.certificate_sha256,
    expiresAtMs: row.certificate_expire_time.getTime() + CLOCK_ALLOWANCE_MS,
  };
}

/** A user who changed must sign in again: a session says what he was. */
function userRevocation(userId: string, now: number): TrustChange {
  return {
    kind: "revocation",
    revocationKind: RevocationKind.USER,
    subject: userId,
    expiresAtMs: now + CREDENTIAL_LIFE_MS,
    issuedBeforeMs: now,
  };
}

/** Whether a pod enrols this incarnation and has enrolled no other. Its annotations can be changed; this cannot. */
async function bindPod(tx: SqlClient, uid: string, of: Pick<SessionRecord, "sandboxId" | "incarnation">) {
  const { rows } = await tx.query<{ readonly sandbox_id: string; readonly incarnation: string }>(
    `insert into enrolled_pods as enrolled (uid, sandbox_id, incarnation) values ($1, $2, $3)
       on conflict (uid) do update set uid = excluded.uid returning sandbox_id, incarnation`,
    [uid, of.sandboxId, String(of.incarnation)],
  );
  return rows[0]?.sandbox_id === of.sandboxId && BigInt(rows[0].incarnation) === of.incarnation;
}

async function insertSession(tx: SqlClient, session: SessionRecord, predecessor: string | undefined): Promise<void> {
  await tx.query(
    `insert into sessions (${sessionColumns}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      session.tokenId,
      session.sandboxId,
      session.organizationId,
      session.incarnation,
      session.keyThumbprint,
      session.signingKeyId,
      new Date(session.issuedAtMs),
      new Date(session.expiresAtMs),
      session.certificateDer,
      session.certificateSha256,
      new Date(session.certificateExpiresAtMs),
      predecessor ?? null,
    ],
  );
}

/** A session and what it was refreshed to. */
async function findSessions(
  tx: SqlClient,
  tokenId: string,
): Promise<{ current: SessionRecord | undefined; successor: SessionRecord | undefined }> {
  const { rows } = await tx.query<SessionRow>(
    `select ${sessionColumns} from sessions where (token_id = $1 or predecessor = $1) and not ended`,
    [tokenId],
  );
  const current = rows.find((row) => row.token_id === tokenId);
  const successor = rows.find((row) => row.predecessor === tokenId);
  return { current: current && toSessionRecord(current), successor: successor && toSessionRecord(successor) };
}

function sessionDetails(session: SessionRecord): Readonly<Record<string, string>> {
  return {
    token_id: session.tokenId,
    incarnation: String(session.incarnation),
    certificate_sha256: session.certificateSha256,
    key_thumbprint: session.keyThumbprint,
  };
}

function isSameUser(row: (UserRow & { readonly source: string }) | undefined, operator: OperatorRecord): boolean {
  return (
    row?.active === true &&
    row.source === "configuration" &&
    row.organization_id === operator.organizationId &&
    row.name === operator.name &&
    row.role === operator.role
  );
}

async function upsertOperator(tx: SqlClient, operator: OperatorRecord): Promise<void> {
  await tx.query(
    "insert into organizations (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name",
    [operator.organizationId, operator.organizationName],
  );
  await tx.query(
    `insert into users (id, organization_id, name, role, active, source)
     values ($1, $2, $3, $4, true, 'configuration')
     on conflict (id) do update
        set organization_id = excluded.organization_id, name = excluded.name, role = excluded.role,
            active = true, source = excluded.source`,
    [operator.userId, operator.organizationId, operator.name, operator.role],
  );
}

function operatorRow(operator: OperatorRecord): { id: string; organization_id: string } {
  return { id: operator.userId, organization_id: operator.organizationId };
}
