import type { SandboxScope } from "@sandgate/identity";
import { isUniqueViolation, type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import { decideDeletion, decideStart, decideStop, type WishDecision } from "../domain/change-wish.ts";
import type { Phase } from "../domain/phase.ts";
import { maximumLogBytes, planLogAppend } from "../domain/plan-log-append.ts";
import { addedUsage, findExceeded, isCountedAsRunning, type Quota, type Usage } from "../domain/quota.ts";
import type { Confinement, MainExit, SandboxRecord } from "../domain/sandbox-record.ts";
import { AdvisoryLocks } from "./advisory-locks.ts";
import { claimRequest, recallAnswer, storeAnswer } from "./answered-requests.ts";
import { lockOrganization } from "./lock-organization.ts";
import { pastColumns, type SandboxRow, sandboxColumns, specJson, toRecord } from "./sandbox-row.ts";
import type {
  HeardSupervisor,
  LifecycleEvent,
  LogPiece,
  MutationRequest,
  NewSandbox,
  SandboxChange,
  SandboxLedger,
  SandboxLock,
  SandboxStore,
  WishRequest,
} from "./sandbox-store.ts";

/** The part of the audit log that the store writes. */
export interface LifecycleAudit {
  append(
    tx: SqlClient,
    event: LifecycleEvent & { readonly organizationId: string; readonly sandboxId: string },
  ): Promise<unknown>;
}

/** A last piece below this size, in bytes, is continued instead of beginning another one. */
const smallPieceBytes = 16 * 1024;

/** Keeps sandboxes in PostgreSQL. */
export class PostgresSandboxStore implements SandboxStore, SandboxLedger {
  readonly #pool: Pool;
  readonly #audit: LifecycleAudit;
  readonly #locks: AdvisoryLocks;

  constructor(options: { readonly pool: Pool; readonly audit: LifecycleAudit }) {
    this.#pool = options.pool;
    this.#audit = options.audit;
    this.#locks = new AdvisoryLocks(options.pool);
  }

  /** Gives up every lock. The pool stays open. */
  async close(): Promise<void> {
    await this.#locks.close();
  }

  async recallAnswer(request: MutationRequest): Promise<Uint8Array | undefined> {
    return recallAnswer(this.#pool, request);
  }

  async create({
    sandbox,
    request,
    answerOf,
    event,
    quota,
  }: Parameters<SandboxStore["create"]>[0]): Promise<Uint8Array> {
    return withTransaction(this.#pool, async (tx) => {
      const known = await claimRequest(tx, request, sandbox.createTimeMs);
      if (known !== undefined) return known;
      await requireWithin(tx, sandbox.organizationId, quota, addedUsage(sandbox.spec.limits, true));
      const record = await insertSandbox(tx, sandbox);
      const answer = await storeAnswer(tx, request, answerOf(record));
      await this.#append(tx, record, event);
      return answer;
    });
  }

  async requestStop(scope: SandboxScope, input: WishRequest): Promise<Uint8Array> {
    return this.#wish(scope, input, decideStop);
  }

  async requestStart(scope: SandboxScope, input: WishRequest & { readonly quota?: Quota }): Promise<Uint8Array> {
    return this.#wish(scope, input, decideStart, async (tx, record) => {
      if (isCountedAsRunning(record)) return;
      await requireWithin(tx, record.organizationId, input.quota, addedUsage(record.spec.limits, false));
    });
  }

  async measureUsage(organizationId: string): Promise<Usage> {
    return measureIn(this.#pool, organizationId);
  }

  async requestDeletion(scope: SandboxScope, input: WishRequest): Promise<Uint8Array> {
    return this.#wish(scope, input, decideDeletion);
  }

  async update(
    scope: SandboxScope,
    { request, answerOf, event, nowMs, apply }: Parameters<SandboxStore["update"]>[1],
  ): Promise<Uint8Array> {
    return withTransaction(this.#pool, async (tx) => {
      const known = await claimRequest(tx, request, nowMs);
      if (known !== undefined) return known;
      const found = await lockIn(tx, scope);
      if (found === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
      if (found.desiredPhase === "DELETED")
        throw new ServiceError("SANDBOX_DELETING", "the sandbox is being removed", { sandbox_id: found.id });
      const after = apply(found);
      const { rows } = await tx.query<SandboxRow>(
        `update sandboxes
            set labels = $2, spec = $3, expire_time = $4, idle_timeout_ms = $5, idle_action = $6, version = version + 1
          where id = $1
          returning ${sandboxColumns}`,
        [
          scope.sandboxId,
          JSON.stringify(after.labels),
          specJson(after.spec),
          after.expireTimeMs === undefined ? null : new Date(after.expireTimeMs),
          after.spec.idleTimeoutMs ?? null,
          after.spec.idleAction,
        ],
      );
      if (rows[0] === undefined) throw new Error("a locked sandbox is gone");
      const record = toRecord(rows[0]);
      const answer = await storeAnswer(tx, request, answerOf(record));
      await this.#append(tx, record, event);
      return answer;
    });
  }

  async find(scope: SandboxScope): Promise<SandboxRecord | undefined> {
    return findIn(this.#pool, scope);
  }

  async readChanges(
    scope: SandboxScope,
    { afterVersion, limit }: { readonly afterVersion: bigint; readonly limit: number },
  ): Promise<readonly SandboxChange[]> {
    const { rows } = await this.#pool.query<SandboxRow & { change_time: Date; is_past: boolean }>(
      `select ${pastColumns}, h.time as change_time, h.version < s.version as is_past
         from sandboxes s join sandbox_history h on h.sandbox_id = s.id
        where s.id = $1 and s.organization_id = $2 and h.version > $3
        order by h.version limit $4`,
      [scope.sandboxId, scope.organizationId, afterVersion, limit],
    );
    return rows.map((row) => ({ record: toRecord(row), timeMs: row.change_time.getTime(), isPast: row.is_past }));
  }

  async list({
    organizationId,
    phases,
    labels,
    ownerUserId,
    after,
    limit,
  }: Parameters<SandboxStore["list"]>[0]): Promise<readonly SandboxRecord[]> {
    const { rows } = await this.#pool.query<SandboxRow>(
      `select ${sandboxColumns} from sandboxes
        where organization_id = $1 and phase = any ($2) and ($3::jsonb = '{}' or labels @> $3)
          and ($4::uuid is null or owner_user_id = $4)
          and ($5::timestamptz is null or (create_time, id) < ($5, $6))
        order by create_time desc, id desc limit $7`,
      [
        organizationId,
        phases,
        JSON.stringify(labels),
        ownerUserId ?? null,
        after === undefined ? null : new Date(after.createTimeMs),
        after?.id ?? null,
        limit,
      ],
    );
    return rows.map(toRecord);
  }

  async recordSupervisor(
    scope: SandboxScope,
    { incarnation, activeMs, nowMs }: Parameters<SandboxStore["recordSupervisor"]>[1],
  ): Promise<SandboxRecord | undefined> {
    const { rows } = await this.#pool.query<SandboxRow>(
      `update sandboxes
          set supervisor_seen_time = $4, active_time = greatest(active_time, $5), waiting_for = array_remove(waiting_for, 'supervisor'), version = version + 1
        where id = $1 and organization_id = $2 and incarnation = $3 and phase <> 'DELETED'
        returning ${sandboxColumns}`,
      [scope.sandboxId, scope.organizationId, incarnation, new Date(nowMs), new Date(activeMs)],
    );
    return rows[0] === undefined ? undefined : toRecord(rows[0]);
  }

  async recordActivity(
    scope: SandboxScope,
    { incarnation, nowMs }: { readonly incarnation: bigint; readonly nowMs: number },
  ): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `update sandboxes set active_time = greatest(active_time, $4)
        where id = $1 and organization_id = $2 and incarnation = $3 and desired_phase = 'READY'`,
      [scope.sandboxId, scope.organizationId, incarnation, new Date(nowMs)],
    );
    return rowCount === 1;
  }

  async recordConfinement(
    scope: SandboxScope,
    input: {
      readonly incarnation: bigint;
      readonly confinement: Exclude<Confinement, "unproved">;
      readonly event: LifecycleEvent;
      readonly nowMs: number;
    },
  ): Promise<SandboxRecord | undefined> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        // what was found broken once stays broken; a supervisor tells again whenever it comes back
        `update sandboxes
            set confinement = $4,
                waiting_for = case when $4 = 'proved' then array_remove(waiting_for, 'confinement') else waiting_for end,
                supervisor_seen_time = $5, version = version + 1
          where id = $1 and organization_id = $2 and incarnation = $3 and phase <> 'DELETED'
            and confinement not in ('broken', $4)
          returning ${sandboxColumns}`,
        [scope.sandboxId, scope.organizationId, input.incarnation, input.confinement, new Date(input.nowMs)],
      );
      if (rows[0] === undefined) return findIncarnation(tx, scope, input.incarnation);
      const record = toRecord(rows[0]);
      await this.#append(tx, record, input.event);
      return record;
    });
  }

  async recordExit(
    scope: SandboxScope,
    input: {
      readonly incarnation: bigint;
      readonly exit: MainExit;
      readonly event: LifecycleEvent;
      readonly nowMs: number;
    },
  ): Promise<SandboxRecord | undefined> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        `update sandboxes set main_exit = $4, supervisor_seen_time = $5, version = version + 1
          where id = $1 and organization_id = $2 and incarnation = $3 and main_exit is null and phase <> 'DELETED'
          returning ${sandboxColumns}`,
        [scope.sandboxId, scope.organizationId, input.incarnation, JSON.stringify(input.exit), new Date(input.nowMs)],
      );
      if (rows[0] === undefined) return findIncarnation(tx, scope, input.incarnation);
      const record = toRecord(rows[0]);
      await this.#append(tx, record, input.event);
      return record;
    });
  }

  async appendLog(
    scope: SandboxScope,
    piece: { readonly incarnation: bigint; readonly offset: bigint; readonly data: Uint8Array },
  ): Promise<bigint> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<{ end_offset: bigint; incarnation_offset: bigint; incarnation: bigint }>(
        `select e.end_offset, e.incarnation_offset, s.incarnation
           from sandbox_log_ends e join sandboxes s on s.id = e.sandbox_id
          where s.id = $1 and s.organization_id = $2 and s.phase <> 'DELETED'
            for update of e`,
        [scope.sandboxId, scope.organizationId],
      );
      const stored = rows[0];
      if (stored?.incarnation !== piece.incarnation)
        throw new ServiceError("SANDBOX_CHANGED", "the sandbox has no such incarnation");
      const ownEnd = stored.end_offset - stored.incarnation_offset;
      const plan = planLogAppend(ownEnd, piece.offset, piece.data.byteLength);
      switch (plan.kind) {
        case "known":
          return ownEnd;
        case "gap":
          throw new ServiceError("REQUEST_INVALID", "output before this offset is missing", {
            field: "offset",
            stored_offset: String(ownEnd),
          });
        case "append":
          await appendPiece(tx, scope.sandboxId, stored.end_offset, piece.data.subarray(plan.from));
          return ownEnd + BigInt(piece.data.byteLength - plan.from);
      }
    });
  }

  async readLog(
    scope: SandboxScope,
    query: { readonly offset: bigint; readonly limitBytes: number },
  ): Promise<LogPiece> {
    const { rows } = await this.#pool.query<{ start_offset: bigint; data: Buffer; end: bigint }>(
      `select l.start_offset, l.data, e.end_offset as end
         from sandbox_logs l join sandbox_log_ends e using (sandbox_id) join sandboxes s on s.id = l.sandbox_id
        where s.id = $1 and s.organization_id = $2 and l.end_offset > $3
          and l.start_offset < greatest($3, (select min(start_offset) from sandbox_logs where sandbox_id = $1)) + $4
        order by l.start_offset`,
      [scope.sandboxId, scope.organizationId, query.offset, query.limitBytes],
    );
    const first = rows[0];
    if (first === undefined) {
      const endOffset = await this.findLogEnd(scope);
      return { offset: endOffset, data: new Uint8Array(), endOffset };
    }
    // biome-ignore lint/complexity/useMathMinMax: they are bigints
    const offset = first.start_offset > query.offset ? first.start_offset : query.offset;
    const data = Buffer.concat(rows.map((row) => row.data)).subarray(Number(offset - first.start_offset));
    return { offset, data: data.subarray(0, query.limitBytes), endOffset: first.end };
  }

  async findLogEnd(scope: SandboxScope): Promise<bigint> {
    const { rows } = await this.#pool.query<{ end_offset: bigint }>(
      `select e.end_offset from sandbox_log_ends e join sandboxes s on s.id = e.sandbox_id
        where s.id = $1 and s.organization_id = $2`,
      [scope.sandboxId, scope.organizationId],
    );
    return rows[0]?.end_offset ?? 0n;
  }

  async findOwnLogEnd(scope: SandboxScope): Promise<bigint> {
    const { rows } = await this.#pool.query<{ own_end: bigint }>(
      `select e.end_offset - e.incarnation_offset as own_end
         from sandbox_log_ends e join sandboxes s on s.id = e.sandbox_id
        where s.id = $1 and s.organization_id = $2`,
      [scope.sandboxId, scope.organizationId],
    );
    return rows[0]?.own_end ?? 0n;
  }

  async get(sandboxId: string): Promise<SandboxRecord | undefined> {
    const { rows } = await this.#pool.query<SandboxRow>(`select ${sandboxColumns} from sandboxes where id = $1`, [
      sandboxId,
    ]);
    return rows[0] === undefined ? undefined : toRecord(rows[0]);
  }

  async listLiving(): Promise<readonly SandboxRecord[]> {
    const { rows } = await this.#pool.query<SandboxRow>(
      `select ${sandboxColumns} from sandboxes where phase <> 'DELETED' order by id`,
    );
    return rows.map(toRecord);
  }

  async countByPhase(): Promise<ReadonlyMap<Phase, number>> {
    const { rows } = await this.#pool.query<{ phase: Phase; count: string }>(
      "select phase, count(*)::text as count from sandboxes where phase <> 'DELETED' group by phase",
    );
    return new Map(rows.map(({ phase, count }) => [phase, Number(count)]));
  }

  async selectLiving(sandboxIds: readonly string[]): Promise<ReadonlySet<string>> {
    const { rows } = await this.#pool.query<{ id: string }>(
      "select id from sandboxes where id = any ($1) and phase <> 'DELETED'",
      [sandboxIds],
    );
    return new Set(rows.map((row) => row.id));
  }

  async getFirstPolicy(sandboxId: string): Promise<Uint8Array> {
    const { rows } = await this.#pool.query<{ policy: Buffer }>("select policy from sandboxes where id = $1", [
      sandboxId,
    ]);
    if (rows[0] === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
    return rows[0].policy;
  }

  async replace(
    record: SandboxRecord,
    { event, nowMs }: { readonly event: LifecycleEvent | undefined; readonly nowMs: number },
  ): Promise<SandboxRecord | undefined> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        `update sandboxes
            set phase = $3, registered = $4, policy_revision = $5, failure = $6, isolation_gaps = $7, waiting_for = $8,
                phase_time = case when phase = $3 then phase_time else $9 end,
                ready_time = case when $3 = 'READY' then coalesce(ready_time, $9) else ready_time end,
                version = version + 1
          where id = $1 and version = $2
          returning ${sandboxColumns}`,
        [
          record.id,
          record.version,
          record.phase,
          record.registered,
          record.policyRevision ?? null,
          record.failure === undefined ? null : JSON.stringify(record.failure),
          record.isolationGaps,
          record.waitingFor,
          new Date(nowMs),
        ],
      );
      if (rows[0] === undefined) return undefined;
      if (record.phase === "DELETED") await tx.query("delete from sandbox_logs where sandbox_id = $1", [record.id]);
      if (event !== undefined) await this.#append(tx, record, event);
      return toRecord(rows[0]);
    });
  }

  async beginIncarnation(
    record: SandboxRecord,
    { event, nowMs }: { readonly event: LifecycleEvent; readonly nowMs: number },
  ): Promise<SandboxRecord | undefined> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        `update sandboxes
            set phase = 'PENDING', incarnation = incarnation + 1, registered = false, confinement = 'unproved',
                supervisor_seen_time = null, active_time = null, failure = null, main_exit = null, isolation_gaps = '{}', waiting_for = '{}',
                start_time = $3, phase_time = $3, ready_time = null, version = version + 1
          where id = $1 and version = $2 and phase = 'STOPPED'
          returning ${sandboxColumns}`,
        [record.id, record.version, new Date(nowMs)],
      );
      if (rows[0] === undefined) return undefined;
      await tx.query("update sandbox_log_ends set incarnation_offset = end_offset where sandbox_id = $1", [record.id]);
      await this.#append(tx, record, event);
      return toRecord(rows[0]);
    });
  }

  async expire({
    event,
    nowMs,
    limit,
  }: {
    readonly event: LifecycleEvent;
    readonly nowMs: number;
    readonly limit: number;
  }): Promise<readonly string[]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        // as decideDeletion does it
        `update sandboxes
            set desired_phase = 'DELETED', end_cause = 'EXPIRED', phase = case when phase = 'STOPPED' then 'STOPPING' else phase end,
                phase_time = case when phase = 'STOPPED' then $1 else phase_time end, version = version + 1
          where id in (select id from sandboxes where desired_phase <> 'DELETED' and expire_time <= $1
                        order by expire_time limit $2 for update skip locked)
          returning ${sandboxColumns}`,
        [new Date(nowMs), limit],
      );
      for (const row of rows) await this.#append(tx, toRecord(row), event);
      return rows.map((row) => row.id);
    });
  }

  async endIdle({
    event,
    nowMs,
    limit,
  }: {
    readonly event: LifecycleEvent;
    readonly nowMs: number;
    readonly limit: number;
  }): Promise<readonly string[]> {
    return withTransaction(this.#pool, async (tx) => {
      const { rows } = await tx.query<SandboxRow>(
        // as decideStop and decideDeletion do it for a READY sandbox
        `update sandboxes
            set desired_phase = case idle_action when 'STOP' then 'STOPPED' else 'DELETED' end, end_cause = 'IDLE',
                phase = case idle_action when 'STOP' then 'STOPPING' else phase end,
                phase_time = case idle_action when 'STOP' then $1 else phase_time end, version = version + 1
          where id in (select id from sandboxes
                        where phase = 'READY' and desired_phase = 'READY' and idle_timeout_ms is not null
                          and active_time + idle_timeout_ms * interval '1 millisecond' <= supervisor_seen_time
                        limit $2 for update skip locked)
          returning ${sandboxColumns}`,
        [new Date(nowMs), limit],
      );
      for (const row of rows)
        await this.#append(tx, toRecord(row), { ...event, details: { ...event.details, action: row.idle_action } });
      return rows.map((row) => row.id);
    });
  }

  async touchSupervisors(supervisors: readonly HeardSupervisor[]): Promise<void> {
    await this.#pool.query(
      `update sandboxes s
          set supervisor_seen_time = greatest(s.supervisor_seen_time, heard.seen),
              active_time = greatest(s.active_time, heard.active)
         from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) as heard (id, incarnation, seen, active)
        where s.id = heard.id and s.incarnation = heard.incarnation`,
      [
        supervisors.map(({ sandboxId }) => sandboxId),
        supervisors.map(({ incarnation }) => incarnation),
        supervisors.map(({ heardMs }) => new Date(heardMs)),
        supervisors.map(({ activeMs }) => new Date(activeMs)),
      ],
    );
  }

  async prune(beforeMs: number): Promise<void> {
    const before = new Date(beforeMs);
    await this.#pool.query("delete from requests where create_time < $1", [before]);
    await this.#pool.query("delete from sandboxes where phase = 'DELETED' and phase_time < $1", [before]);
  }

  async tryLock(sandboxId: string): Promise<SandboxLock | undefined> {
    return this.#locks.tryLock(sandboxId);
  }

  async #wish(
    scope: SandboxScope,
    { request, answerOf, event, nowMs }: WishRequest,
    decide: (record: SandboxRecord) => WishDecision,
    /** Throws where a change may not be made. */
    check: (tx: SqlClient, record: SandboxRecord) => Promise<void> = async () => {},
  ): Promise<Uint8Array> {
    return withTransaction(this.#pool, async (tx) => {
      const known = await claimRequest(tx, request, nowMs);
      if (known !== undefined) return known;
      const found = await lockIn(tx, scope);
      if (found === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
      const decision = decide(found);
      if (decision.kind === "change") await check(tx, found);
      const record = await grantWish(tx, found, decision, nowMs);
      const answer = await storeAnswer(tx, request, answerOf(record));
      if (decision.kind === "change") await this.#append(tx, record, event);
      return answer;
    });
  }

  async #append(tx: SqlClient, record: SandboxRecord, event: LifecycleEvent): Promise<void> {
    await this.#audit.append(tx, { ...event, organizationId: record.organizationId, sandboxId: record.id });
  }
}

async function findIn(sql: SqlClient, scope: SandboxScope): Promise<SandboxRecord | undefined> {
  const { rows } = await sql.query<SandboxRow>(
    `select ${sandboxColumns} from sandboxes where id = $1 and organization_id = $2`,
    [scope.sandboxId, scope.organizationId],
  );
  return rows[0] === undefined ? undefined : toRecord(rows[0]);
}

/** The sandbox, and with it the right to change it until the transaction ends. */
async function lockIn(tx: SqlClient, scope: SandboxScope): Promise<SandboxRecord | undefined> {
  const { rows } = await tx.query<SandboxRow>(
    `select ${sandboxColumns} from sandboxes where id = $1 and organization_id = $2 for update`,
    [scope.sandboxId, scope.organizationId],
  );
  return rows[0] === undefined ? undefined : toRecord(rows[0]);
}

/** Writes what was decided on a locked sandbox. */
async function grantWish(
  tx: SqlClient,
  record: SandboxRecord,
  decision: WishDecision,
  nowMs: number,
): Promise<SandboxRecord> {
  switch (decision.kind) {
    case "unchanged":
      return record;
    case "deleting":
      throw new ServiceError("SANDBOX_DELETING", "the sandbox is being removed", { sandbox_id: record.id });
    case "revoked":
      throw new ServiceError("SANDBOX_REVOKED", "the sandbox's identity was revoked", { sandbox_id: record.id });
    case "change": {
      const { rows } = await tx.query<SandboxRow>(
        `update sandboxes
            set desired_phase = $2, end_cause = case when $2 = 'READY' then null else 'REQUESTED' end, phase = $3, phase_time = case when phase = $3 then phase_time else $4 end,
                waiting_for = case when phase = $3 then waiting_for else '{}' end, version = version + 1
          where id = $1
          returning ${sandboxColumns}`,
        [record.id, decision.desiredPhase, decision.phase, new Date(nowMs)],
      );
      if (rows[0] === undefined) throw new Error("a locked sandbox is gone");
      return toRecord(rows[0]);
    }
  }
}

async function findIncarnation(
  sql: SqlClient,
  scope: SandboxScope,
  incarnation: bigint,
): Promise<SandboxRecord | undefined> {
  const record = await findIn(sql, scope);
  return record?.incarnation === incarnation && record.phase !== "DELETED" ? record : undefined;
}

/**
 * Throws QUOTA_EXCEEDED unless the organization may have more. Nobody else can add to what it has until the transaction ends: the count is
 * made by a statement that begins after the lock is had.
 */
async function requireWithin(
  tx: SqlClient,
  organizationId: string,
  quota: Quota | undefined,
  added: Usage,
): Promise<void> {
  if (quota === undefined || Object.keys(quota).length === 0) return;
  await lockOrganization(tx, organizationId);
  const used = await measureIn(tx, organizationId);
  const name = findExceeded(quota, used, added);
  if (name === undefined) return;
  throw new ServiceError("QUOTA_EXCEEDED", "the organization would have more than it may", {
    quota: name,
    limit: String(quota[name]),
    used: String(used[name]),
    added: String(added[name]),
  });
}

/** As isCountedAsRunning has it. */
const countsAsRunning =
  "(phase in ('PENDING', 'PROVISIONING', 'STARTING', 'READY', 'STOPPING') or (phase = 'STOPPED' and desired_phase = 'READY'))";

async function measureIn(sql: SqlClient, organizationId: string): Promise<Usage> {
  const { rows } = await sql.query<Readonly<Record<keyof Usage, string>>>(
    `select count(*)::text as sandboxes,
            count(*) filter (where ${countsAsRunning})::text as running_sandboxes,
            coalesce(sum((spec #>> '{limits,processMemoryBytes}')::numeric) filter (where ${countsAsRunning}), 0)::text as memory_bytes,
            coalesce(sum((spec #>> '{limits,processes}')::numeric) filter (where ${countsAsRunning}), 0)::text as processes
       from sandboxes where organization_id = $1 and phase <> 'DELETED'`,
    [organizationId],
  );
  const [row] = rows;
  if (row === undefined) throw new Error("an aggregate returned no row");
  return {
    sandboxes: Number(row.sandboxes),
    running_sandboxes: Number(row.running_sandboxes),
    memory_bytes: Number(row.memory_bytes),
    processes: Number(row.processes),
  };
}

async function insertSandbox(tx: SqlClient, sandbox: NewSandbox): Promise<SandboxRecord> {
  const { createTimeMs, spec } = sandbox;
  try {
    const { rows } = await tx.query<SandboxRow>(
      `with recorded as (
         insert into sandboxes (id, organization_id, name, owner_user_id, labels, spec, policy, policy_request_id,
                                create_time, phase_time, expire_time, idle_timeout_ms, idle_action)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12)
         returning ${sandboxColumns}
       ), ended as (
         insert into sandbox_log_ends (sandbox_id) select id from recorded
       )
       select * from recorded`,
      [
        sandbox.id,
        sandbox.organizationId,
        sandbox.name,
        sandbox.ownerUserId,
        JSON.stringify(sandbox.labels),
        specJson(spec),
        sandbox.policy,
        sandbox.policyRequestId,
        new Date(createTimeMs),
        spec.ttlMs === undefined ? null : new Date(createTimeMs + spec.ttlMs),
        spec.idleTimeoutMs ?? null,
        spec.idleAction,
      ],
    );
    if (rows[0] === undefined) throw new Error("an insert returned no row");
    return toRecord(rows[0]);
  } catch (error) {
    if (isUniqueViolation(error, "sandboxes_living_name"))
      throw new ServiceError("SANDBOX_NAME_TAKEN", "a living sandbox has this name", { field: "name" });
    throw error;
  }
}

async function appendPiece(tx: SqlClient, sandboxId: string, endOffset: bigint, data: Uint8Array): Promise<void> {
  const newEnd = endOffset + BigInt(data.byteLength);
  const continued = await tx.query(
    `update sandbox_logs set data = data || $3, end_offset = $4
      where sandbox_id = $1 and end_offset = $2 and length(data) < $5
        and start_offset = (select max(start_offset) from sandbox_logs where sandbox_id = $1)`,
    [sandboxId, endOffset, data, newEnd, smallPieceBytes],
  );
  if (continued.rowCount === 0)
    await tx.query("insert into sandbox_logs (sandbox_id, start_offset, end_offset, data) values ($1, $2, $3, $4)", [
      sandboxId,
      endOffset,
      newEnd,
      data,
    ]);
  await tx.query("delete from sandbox_logs where sandbox_id = $1 and start_offset < $2", [
    sandboxId,
    newEnd - BigInt(maximumLogBytes),
  ]);
  await tx.query("update sandbox_log_ends set end_offset = $2 where sandbox_id = $1", [sandboxId, newEnd]);
}
