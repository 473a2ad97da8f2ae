import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Enforcement,
  EnforcementSchema,
  type PolicyRevision,
  PolicyRevisionSchema,
  PolicySchema,
} from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import type { Pool, SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import { type DecisionRecord, mergeDecisions } from "../domain/decision-record.ts";
import { planReport } from "../domain/decision-report.ts";
import { topics } from "../feed/topics.ts";
import type { DecisionContext } from "../messages/explain-decision.ts";
import { microsecondsOf } from "../messages/microseconds.ts";
import { digestPolicyChange, type PolicyChange } from "../messages/policy-change.ts";
import { announcedChange, type ChangeDeps } from "./announced-change.ts";
import { appendRevision } from "./append-revision.ts";
import { claimRequest, identifyRequest } from "./claim-request.ts";
import type {
  DecisionQuery,
  DecisionReport,
  Page,
  PolicyAuthor,
  PolicyChanges,
  PolicyState,
  PolicyStore,
  PositionedChanges,
  PruneResult,
} from "./policy-store.ts";
import { withdrawProviders } from "./provider-grants.ts";

const pageBytes = 1024 * 1024;
const pageRows = 1000;
const watchedDecisions = 500;
const prunedRows = 5000;

/** Keeps policies and decisions in PostgreSQL. */
export class PostgresPolicyStore implements PolicyStore {
  readonly #deps: ChangeDeps;
  readonly #pool: Pool;
  readonly #clock: () => number;

  constructor(deps: ChangeDeps & { readonly clock: () => number }) {
    this.#deps = deps;
    this.#pool = deps.pool;
    this.#clock = deps.clock;
  }

  async setPolicy(scope: SandboxScope, change: PolicyChange, author: PolicyAuthor): Promise<PolicyRevision> {
    const createTime = new Date(this.#clock());
    return announcedChange(this.#deps, async (tx) => {
      const digest = digestPolicyChange(change, scope.sandboxId, author.principal);
      const { requestId } = change;
      const request = requestId === undefined ? undefined : identifyRequest(scope, { requestId, digest });
      const answered = await claimRequest(tx, request, createTime);
      if (answered !== undefined)
        return { changed: [], result: await getRevision(tx, scope.sandboxId, answered.revision) };
      const revision = await appendRevision(tx, scope, change, author, createTime);
      if (change.requestId !== undefined)
        await tx.query(`update requests set revision = $3 where organization_id = $1 and request_id = $2`, [
          scope.organizationId,
          change.requestId,
          revision,
        ]);
      return {
        changed: [topics.policies, topics.sandbox(scope.sandboxId)],
        audit: {
          action: "policy.set",
          principal: author.principal,
          peer: author.peer,
          organizationId: scope.organizationId,
          sandboxId: scope.sandboxId,
          details: {
            revision: String(revision),
            ...(change.requestId === undefined ? {} : { request_id: change.requestId }),
          },
        },
        result: create(PolicyRevisionSchema, {
          sandboxId: scope.sandboxId,
          revision,
          policy: fromBinary(PolicySchema, change.policy),
          author: author.principal,
          createTime: timestampFromDate(createTime),
        }),
      };
    });
  }

  async findPolicy(scope: SandboxScope, revision?: bigint): Promise<PolicyState | undefined> {
    const { rows } = await this.#pool.query<RevisionRow & NullableEnforcementRow>(
      `select r.sandbox_id, r.revision, r.policy, r.author, r.create_time,
              e.revision as enforced_revision, e.enforce_time, e.fault
         from current_policies c
         join policy_revisions r on r.sandbox_id = c.sandbox_id and r.revision = coalesce($2, c.revision)
         left join enforcements e on e.sandbox_id = c.sandbox_id
        where c.sandbox_id = $1`,
      [scope.sandboxId, revision],
    );
    const [row] = rows;
    return row === undefined ? undefined : { revision: toRevision(row), enforcement: toEnforcement(row) };
  }

  async isRetired(scope: SandboxScope): Promise<boolean> {
    const { rows } = await this.#pool.query(
      `select from current_policies where sandbox_id = $1 and retire_time is not null`,
      [scope.sandboxId],
    );
    return rows.length > 0;
  }

  async listRevisions(
    scope: SandboxScope,
    pageSize: number,
    before: bigint | undefined,
  ): Promise<Page<PolicyRevision>> {
    const { rows } = await this.#pool.query<RevisionRow>(
      `select r.sandbox_id, r.revision, r.policy, r.author, r.create_time
         from (select sandbox_id, revision, sum(size_bytes) over (order by revision desc) - size_bytes as bytes_before
                 from policy_revisions
                where sandbox_id = $1 and ($2::bigint is null or revision < $2)
                order by revision desc
                limit $3) page
         join policy_revisions r on r.sandbox_id = page.sandbox_id and r.revision = page.revision
        where page.bytes_before < $4
        order by r.revision desc`,
      [scope.sandboxId, before, pageSize, pageBytes],
    );
    return { items: rows.map(toRevision), more: (rows.at(-1)?.revision ?? 1n) > 1n };
  }

  async listLiving(after: string): Promise<readonly string[]> {
    const { rows } = await this.#pool.query<{ sandbox_id: string }>(
      `select sandbox_id from current_policies where retire_time is null and sandbox_id > $1 order by sandbox_id limit $2`,
      [after, pageRows],
    );
    return rows.map((row) => row.sandbox_id);
  }

  async retire(sandboxIds: readonly string[]): Promise<void> {
    if (sandboxIds.length === 0) return;
    await announcedChange(this.#deps, async (tx) => {
      const { rows } = await tx.query<{ sandbox_id: string }>(
        `with retired as (
           select sandbox_id, row_number() over (order by sandbox_id) as number
             from current_policies
            where sandbox_id = any($1) and retire_time is null
         ), counter as (
           update change_counters set position = position + (select count(*) from retired)
            where stream = 'policies'
           returning position
         )
         update current_policies c
            set retire_time = $2, version = counter.position - (select count(*) from retired) + retired.number
           from retired, counter
          where c.sandbox_id = retired.sandbox_id and c.retire_time is null
         returning c.sandbox_id`,
        [sandboxIds, new Date(this.#clock())],
      );
      await withdrawProviders(tx, sandboxIds);
      const changed = rows.map((row) => topics.sandbox(row.sandbox_id));
      return { changed: changed.length === 0 ? [] : [topics.policies, ...changed], result: undefined };
    });
  }

  async findPolicyVersion(): Promise<bigint> {
    return this.#findPosition("policies");
  }

  async readPolicyChanges(after: bigint): Promise<PolicyChanges> {
    const { rows } = await this.#pool.query<
      { sandbox_id: string; version: bigint } & (({ retired: false } & RevisionRow) | { retired: true }) & {
          more: boolean;
        }
    >(
      `select page.sandbox_id, page.version, page.retired, r.revision, r.policy, r.author, r.create_time,
              page.version < page.last_version or page.full_page as more
         from (select *,
                      sum(size_bytes) over (order by version) - size_bytes as bytes_before,
                      max(version) over () as last_version,
                      count(*) over () = $2 as full_page
                 from (select c.sandbox_id, c.version, c.revision, c.retire_time is not null as retired,
                              case when c.retire_time is null then r.size_bytes else 0 end as size_bytes
                         from current_policies c
                         join policy_revisions r on r.sandbox_id = c.sandbox_id and r.revision = c.revision
                        where c.version > $1 and ($1 > 0 or c.retire_time is null)
                        order by c.version
                        limit $2) changes) page
         left join policy_revisions r
           on r.sandbox_id = page.sandbox_id and r.revision = page.revision and not page.retired
        where page.bytes_before < $3
        order by page.version`,
      [after, pageRows, pageBytes],
    );
    const last = rows.at(-1);
    return {
      version: last?.version ?? after,
      upserted: rows.flatMap((row) => (row.retired ? [] : [toRevision(row)])),
      removedSandboxIds: rows.flatMap((row) => (row.retired ? [row.sandbox_id] : [])),
      more: last?.more ?? false,
    };
  }

  async saveEnforcements(enforcements: readonly Enforcement[]): Promise<void> {
    const newest = new Map(enforcements.map((enforcement) => [enforcement.sandboxId, enforcement]));
    if (newest.size === 0) return;
    const now = timestampFromMs(this.#clock());
    const reported = [...newest.values()].map(({ sandboxId, revision, enforceTime, fault }) => ({
      sandbox_id: sandboxId,
      revision: String(revision),
      enforce_us: String(microsecondsOf(enforceTime ?? now)),
      fault,
    }));
    await announcedChange(this.#deps, async (tx) => {
      const { rows } = await tx.query<{ sandbox_id: string }>(
        `with reported as (
           select r.*
             from json_to_recordset($1) as r (sandbox_id text, revision bigint, enforce_us bigint, fault text)
             join current_policies c on c.sandbox_id = r.sandbox_id
            where c.retire_time is null and r.revision between 0 and c.revision
         ), changed as (
           select r.*, row_number() over (order by r.sandbox_id) as number
             from reported r
             left join enforcements e on e.sandbox_id = r.sandbox_id
            where (e.revision, e.fault) is distinct from (r.revision, r.fault)
         ), counter as (
           update change_counters set position = position + (select count(*) from changed)
            where stream = 'enforcements' and exists (select from changed)
           returning position
         )
         insert into enforcements (sandbox_id, revision, enforce_time, fault, position)
         select changed.sandbox_id, changed.revision,
                timestamptz 'epoch' + changed.enforce_us * interval '1 microsecond', changed.fault,
                counter.position - (select count(*) from changed) + changed.number
           from changed, counter
         on conflict (sandbox_id) do update
            set revision = excluded.revision, enforce_time = excluded.enforce_time,
                fault = excluded.fault, position = excluded.position
         returning sandbox_id`,
        [JSON.stringify(reported)],
      );
      const changed = rows.map((row) => topics.sandbox(row.sandbox_id));
      return { changed: changed.length === 0 ? [] : [topics.enforcements, ...changed], result: undefined };
    });
  }

  async readEnforcementChanges(after: bigint): Promise<PositionedChanges<Enforcement>> {
    const { rows } = await this.#pool.query<EnforcementRow & { sandbox_id: string; position: bigint }>(
      `select e.sandbox_id, e.revision as enforced_revision, e.enforce_time, e.fault, e.position
         from enforcements e
         join current_policies c on c.sandbox_id = e.sandbox_id
        where e.position > $1 and c.retire_time is null
        order by e.position
        limit $2`,
      [after, pageRows],
    );
    return {
      position: rows.at(-1)?.position ?? after,
      items: rows.map(toEnforcement),
      more: rows.length === pageRows,
    };
  }

  async storeDecisions(report: DecisionReport): Promise<bigint> {
    return announcedChange(this.#deps, async (tx) => {
      const reportTime = new Date(this.#clock());
      const storedSequence = await claimRun(tx, report.proxyRunId, reportTime);
      const plan = planReport(storedSequence, {
        firstSequence: report.firstSequence,
        count: report.decisions.length,
        dropped: report.dropped,
      });
      if (plan.kind === "malformed")
        throw new ServiceError("REQUEST_INVALID", "a number is out of bounds", { field: plan.field });
      if (plan.kind === "gap")
        throw new ServiceError("DECISION_SEQUENCE_INVALID", "decisions are missing before the first", {
          field: "first_sequence",
          stored_sequence: String(storedSequence ?? 0n),
        });
      if (plan.kind === "repeated") return { changed: [], result: storedSequence ?? 0n };
      const lastSequence = report.firstSequence + BigInt(report.decisions.length) - 1n;
      await advanceRun(tx, report.proxyRunId, lastSequence, plan.dropped === 0n ? undefined : report);
      const sandboxIds = await upsertDecisions(tx, mergeDecisions(report.decisions.slice(plan.skip)));
      return { changed: [...new Set(sandboxIds)].map(topics.decisions), result: lastSequence };
    });
  }

  async listDecisions(scope: SandboxScope, query: DecisionQuery): Promise<Page<DecisionRecord>> {
    const { rows } = await this.#pool.query<DecisionRow>(
      `select ${decisionColumns}
         from unnest($2::smallint[]) as wanted (verdict)
        cross join lateral (
              select * from decisions d
               where d.sandbox_id = $1 and d.verdict = wanted.verdict
                 and (d.time, d.decision_id) < (coalesce(timestamptz 'epoch' + $3::bigint * interval '1 microsecond', 'infinity'), $4)
               order by d.time desc, d.decision_id desc
               limit $5) d
        order by d.time desc, d.decision_id desc
        limit $5`,
      [
        scope.sandboxId,
        query.verdicts.length === 0 ? allVerdicts : [...new Set(query.verdicts)],
        query.before?.timeUs,
        query.before?.decisionId ?? "",
        query.pageSize + 1,
      ],
    );
    return { items: rows.slice(0, query.pageSize).map(toDecision), more: rows.length > query.pageSize };
  }

  async findDecision(organizationId: string, decisionId: string): Promise<DecisionContext | undefined> {
    const { rows } = await this.#pool.query<
      DecisionRow & {
        readonly decided_by: Buffer | null;
        readonly current_revision: bigint;
        readonly current_policy: Buffer;
        readonly gone: boolean;
      }
    >(
      `select ${decisionColumns}, former.policy as decided_by, c.revision as current_revision, newest.policy as current_policy,
              c.retire_time is not null as gone
         from decisions d
         join current_policies c on c.sandbox_id = d.sandbox_id
         join policy_revisions newest on newest.sandbox_id = c.sandbox_id and newest.revision = c.revision
         left join policy_revisions former on former.sandbox_id = d.sandbox_id and former.revision = d.policy_revision
        where d.decision_id = $2 and c.organization_id = $1`,
      [organizationId, decisionId],
    );
    const [row] = rows;
    return row === undefined
      ? undefined
      : {
          decision: toDecision(row),
          decidedBy: row.decided_by === null ? undefined : fromBinary(PolicySchema, row.decided_by),
          current: { revision: row.current_revision, policy: fromBinary(PolicySchema, row.current_policy) },
          gone: row.gone,
        };
  }

  async findDecisionPosition(): Promise<bigint> {
    return this.#findPosition("decisions");
  }

  async readDecisionChanges(scope: SandboxScope, after: bigint): Promise<PositionedChanges<DecisionRecord>> {
    const { rows } = await this.#pool.query<DecisionRow>(
      `select ${decisionColumns}
         from decisions d
        where d.sandbox_id = $1 and d.position > $2
        order by d.position
        limit $3`,
      [scope.sandboxId, after, watchedDecisions],
    );
    return {
      position: rows.at(-1)?.position ?? after,
      items: rows.map(toDecision),
      more: rows.length === watchedDecisions,
    };
  }

  async prune(beforeMs: number): Promise<PruneResult> {
    const before = new Date(beforeMs);
    const remove = async (statement: string): Promise<number> =>
      (await this.#pool.query(statement, [before, prunedRows])).rowCount;
    const removed = {
      decisions: await remove(
        `delete from decisions where decision_id = any(array(
           select decision_id from decisions where time < $1 order by time limit $2 for update skip locked))`,
      ),
      requests: await remove(
        `delete from requests where (organization_id, request_id) in (
           select organization_id, request_id from requests where create_time < $1 order by create_time limit $2 for update skip locked)`,
      ),
      proposals: await remove(
        `delete from policy_proposals where proposal_id = any(array(
           select proposal_id from policy_proposals where state in (3, 4) and update_time < $1
            order by update_time limit $2 for update skip locked))`,
      ),
      proxyRuns: await remove(
        `delete from proxy_runs where proxy_run_id = any(array(
           select proxy_run_id from proxy_runs where report_time < $1 order by report_time limit $2 for update skip locked))`,
      ),
    };
    return { ...removed, more: Math.max(...Object.values(removed)) === prunedRows };
  }

  async #findPosition(stream: "policies" | "decisions"): Promise<bigint> {
    const { rows } = await this.#pool.query<{ position: bigint }>(
      `select position from change_counters where stream = $1`,
      [stream],
    );
    return rows[0]?.position ?? 0n;
  }
}

async function getRevision(tx: SqlClient, sandboxId: string, revision: bigint | null): Promise<PolicyRevision> {
  const { rows } = await tx.query<RevisionRow>(
    `select sandbox_id, revision, policy, author, create_time from policy_revisions where sandbox_id = $1 and revision = $2`,
    [sandboxId, revision],
  );
  if (rows[0] === undefined) throw new Error("a stored answer names a revision that does not exist");
  return toRevision(rows[0]);
}

/** Holds the run's row until the commit, so that a run's reports are judged one after another. */
async function claimRun(tx: SqlClient, proxyRunId: string, reportTime: Date): Promise<bigint | undefined> {
  const { rows } = await tx.query<{ stored_sequence: bigint }>(
    `insert into proxy_runs (proxy_run_id, stored_sequence, report_time) values ($1, 0, $2)
     on conflict (proxy_run_id) do update set report_time = excluded.report_time
     returning stored_sequence`,
    [proxyRunId, reportTime],
  );
  const stored = rows[0]?.stored_sequence ?? 0n;
  return stored === 0n ? undefined : stored;
}

async function advanceRun(
  tx: SqlClient,
  proxyRunId: string,
  storedSequence: bigint,
  gap: { readonly firstSequence: bigint; readonly dropped: bigint } | undefined,
): Promise<void> {
  await tx.query(`update proxy_runs set stored_sequence = $2 where proxy_run_id = $1`, [proxyRunId, storedSequence]);
  if (gap === undefined) return;
  await tx.query(`insert into decision_gaps (proxy_run_id, before_sequence, dropped) values ($1, $2, $3)`, [
    proxyRunId,
    gap.firstSequence,
    gap.dropped,
  ]);
}

/** The ids of the sandboxes whose decisions were stored. */
async function upsertDecisions(tx: SqlClient, decisions: readonly DecisionRecord[]): Promise<string[]> {
  const { rows } = await tx.query<{ sandbox_id: string }>(
    `with known as (
       select r.*, row_number() over (order by r.number) as ordinal
         from json_to_recordset($1) as r (
              number int, decision_id text, sandbox_id text, time_us bigint, verdict smallint, reason text, method text,
              host text, port int, rule text, policy_revision bigint, address text, sent_bytes bigint,
              received_bytes bigint, duration_us bigint)
         join current_policies c on c.sandbox_id = r.sandbox_id
        where c.retire_time is null or exists (select from decisions d where d.decision_id = r.decision_id)
     ), counter as (
       update change_counters set position = position + (select count(*) from known)
        where stream = 'decisions' and exists (select from known)
       returning position
     )
     insert into decisions (decision_id, sandbox_id, position, time, verdict, reason, method, host, port, rule,
                            policy_revision, address, sent_bytes, received_bytes, duration_us)
     select k.decision_id, k.sandbox_id, counter.position - (select count(*) from known) + k.ordinal,
            timestamptz 'epoch' + k.time_us * interval '1 microsecond', k.verdict, k.reason, k.method, k.host, k.port, k.rule,
            k.policy_revision, k.address, k.sent_bytes, k.received_bytes, k.duration_us
       from known k, counter
     on conflict (decision_id) do update
        set position = excluded.position, verdict = excluded.verdict, reason = excluded.reason, rule = excluded.rule,
            address = excluded.address, sent_bytes = excluded.sent_bytes, received_bytes = excluded.received_bytes,
            duration_us = excluded.duration_us
      where decisions.sandbox_id = excluded.sandbox_id
     returning sandbox_id`,
    [
      JSON.stringify(
        decisions.map((decision, number) => ({
          number,
          decision_id: decision.decisionId,
          sandbox_id: decision.sandboxId,
          time_us: String(decision.timeUs),
          verdict: decision.verdict,
          reason: decision.reason,
          method: decision.method,
          host: decision.host,
          port: decision.port,
          rule: decision.rule,
          policy_revision: String(decision.policyRevision),
          address: decision.address,
          sent_bytes: String(decision.sentBytes),
          received_bytes: String(decision.receivedBytes),
          duration_us: decision.durationUs === undefined ? null : String(decision.durationUs),
        })),
      ),
    ],
  );
  return rows.map((row) => row.sandbox_id);
}

const allVerdicts = [1, 2, 3, 4];

const decisionColumns = `d.decision_id, d.sandbox_id, d.position, (extract(epoch from d.time) * 1000000)::bigint as time_us,
  d.verdict, d.reason, d.method, d.host, d.port, d.rule, d.policy_revision, d.address, d.sent_bytes, d.received_bytes, d.duration_us`;

interface DecisionRow {
  readonly decision_id: string;
  readonly sandbox_id: string;
  readonly position: bigint;
  readonly time_us: bigint;
  readonly verdict: number;
  readonly reason: string;
  readonly method: string;
  readonly host: string;
  readonly port: number;
  readonly rule: string;
  readonly policy_revision: bigint;
  readonly address: string;
  readonly sent_bytes: bigint;
  readonly received_bytes: bigint;
  readonly duration_us: bigint | null;
}

function toDecision(row: DecisionRow): DecisionRecord {
  return {
    decisionId: row.decision_id,
    sandboxId: row.sandbox_id,
    timeUs: row.time_us,
    verdict: row.verdict,
    reason: row.reason,
    method: row.method,
    host: row.host,
    port: row.port,
    rule: row.rule,
    policyRevision: row.policy_revision,
    address: row.address,
    sentBytes: row.sent_bytes,
    receivedBytes: row.received_bytes,
    durationUs: row.duration_us ?? undefined,
  };
}

interface RevisionRow {
  readonly sandbox_id: string;
  readonly revision: bigint;
  readonly policy: Buffer;
  readonly author: string;
  readonly create_time: Date;
}

function toRevision(row: RevisionRow): PolicyRevision {
  return create(PolicyRevisionSchema, {
    sandboxId: row.sandbox_id,
    revision: row.revision,
    policy: fromBinary(PolicySchema, row.policy),
    author: row.author,
    createTime: timestampFromDate(row.create_time),
  });
}

interface EnforcementRow {
  readonly enforced_revision: bigint;
  readonly enforce_time: Date;
  readonly fault: string;
}

/** A sandbox whose proxy has not reported yet. */
type NullableEnforcementRow = EnforcementRow | { readonly [K in keyof EnforcementRow]: null };

function toEnforcement(row: NullableEnforcementRow & { readonly sandbox_id: string }): Enforcement {
  const none = row.enforced_revision === null;
  return create(EnforcementSchema, {
    sandboxId: row.sandbox_id,
    ...(none
      ? {}
      : { revision: row.enforced_revision, enforceTime: timestampFromDate(row.enforce_time), fault: row.fault }),
  });
}
