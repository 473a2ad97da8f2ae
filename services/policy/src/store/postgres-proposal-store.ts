import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { PolicyProposalSchema, PolicyRevisionSchema, PolicySchema, Verdict } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import type { SqlClient } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import type { Proposal } from "../domain/proposal.ts";
import { proposalLimits } from "../domain/proposal-limits.ts";
import { topics } from "../feed/topics.ts";
import {
  contentDigest,
  readProposal,
  sourceNumbers,
  stateNumbers,
  writeProposal,
} from "../messages/proposal-message.ts";
import { announcedChange, type ChangeDeps } from "./announced-change.ts";
import { appendRevision } from "./append-revision.ts";
import { claimRequest, findAnswer, identifyRequest } from "./claim-request.ts";
import type { Page, PolicyAuthor } from "./policy-store.ts";
import type {
  ConfigChange,
  DecisionSelection,
  DestinationSummary,
  ProposalQuery,
  ProposalStore,
  ProposalSubmission,
  RequestClaim,
} from "./proposal-store.ts";

const hourMs = 60 * 60_000;
const everyVerdict = [Verdict.ALLOWED, Verdict.DENIED, Verdict.FAILED, Verdict.WOULD_DENY];

/** Keeps proposals in PostgreSQL, beside the policies. */
export class PostgresProposalStore implements ProposalStore {
  readonly #deps: ChangeDeps;
  readonly #clock: () => number;

  constructor(deps: ChangeDeps & { readonly clock: () => number }) {
    this.#deps = deps;
    this.#clock = deps.clock;
  }

  async findAnswer(scope: SandboxScope, claim: RequestClaim): Promise<Uint8Array | undefined> {
    return (await findAnswer(this.#deps.pool, identifyRequest(scope, claim)))?.answer ?? undefined;
  }

  async submit(scope: SandboxScope, submission: ProposalSubmission, author: PolicyAuthor): Promise<Uint8Array> {
    const { proposals, claim } = submission;
    const nowMs = this.#clock();
    return announcedChange(this.#deps, async (tx) => {
      const answered = await claimRequest(tx, claim && identifyRequest(scope, claim), new Date(nowMs));
      if (answered !== undefined) return { changed: [], result: requireAnswer(answered.answer) };
      await lockPolicy(tx, scope);
      const kept: Proposal[] = [];
      let added = 0;
      for (const proposal of proposals) {
        const known = await findSame(tx, scope, proposal);
        if (known === undefined) {
          await insertProposal(tx, proposal);
          added++;
        }
        kept.push(known ?? proposal);
      }
      if (added > 0) await requireRoom(tx, scope, nowMs);
      const answer = submission.answer(kept);
      await saveAnswer(tx, scope, claim, answer);
      const details = { proposals: kept.map(({ proposalId }) => proposalId).join(" ") };
      return {
        changed: [],
        result: answer,
        ...(added > 0 && { audit: auditRecord(scope, "policy.propose", author, claim, details) }),
      };
    });
  }

  async change(scope: SandboxScope, change: ConfigChange, author: PolicyAuthor): Promise<Uint8Array> {
    const { proposal, claim } = change;
    const createTime = new Date(this.#clock());
    return announcedChange(this.#deps, async (tx) => {
      const answered = await claimRequest(tx, claim && identifyRequest(scope, claim), createTime);
      if (answered !== undefined) return { changed: [], result: requireAnswer(answered.answer) };
      const { policy, expectedRevision } = change;
      const revision =
        policy === undefined
          ? undefined
          : await appendRevision(tx, scope, { policy, expectedRevision: expectedRevision ?? 0n }, author, createTime);
      if (proposal !== undefined) await replaceProposal(tx, scope, proposal);
      const answer = change.answer(
        policy === undefined || revision === undefined
          ? undefined
          : create(PolicyRevisionSchema, {
              sandboxId: scope.sandboxId,
              revision,
              policy: fromBinary(PolicySchema, policy),
              author: author.principal,
              createTime: timestampFromDate(createTime),
            }),
      );
      await saveAnswer(tx, scope, claim, answer);
      const details = {
        ...(proposal === undefined ? {} : { proposal: proposal.proposalId }),
        ...(revision === undefined ? {} : { revision: String(revision) }),
        ...(change.reason === undefined ? {} : { reason: change.reason }),
      };
      return {
        changed: revision === undefined ? [] : [topics.policies, topics.sandbox(scope.sandboxId)],
        audit: auditRecord(scope, change.action, author, claim, details),
        result: answer,
      };
    });
  }

  async findProposal(scope: SandboxScope, proposalId: string): Promise<Proposal | undefined> {
    const { rows } = await this.#deps.pool.query<ProposalRow>(
      `select proposal from policy_proposals where sandbox_id = $1 and proposal_id = $2`,
      [scope.sandboxId, proposalId],
    );
    return rows[0] === undefined ? undefined : toProposal(rows[0]);
  }

  async listProposals(scope: SandboxScope, query: ProposalQuery): Promise<Page<Proposal>> {
    const { states, before, pageSize } = query;
    const wanted = states.length === 0 ? Object.values(stateNumbers) : states.map((state) => stateNumbers[state]);
    const { rows } = await this.#deps.pool.query<ProposalRow>(
      `select p.proposal
         from unnest($2::smallint[]) as wanted (state)
        cross join lateral (
              select * from policy_proposals p
               where p.sandbox_id = $1 and p.state = wanted.state and ($3::smallint is null or p.source = $3)
                 and (p.create_time, p.proposal_id) < (coalesce($4::timestamptz, 'infinity'), $5)
               order by p.create_time desc, p.proposal_id desc
               limit $6) p
        order by p.create_time desc, p.proposal_id desc
        limit $6`,
      [
        scope.sandboxId,
        wanted,
        query.bySandbox === true ? sourceNumbers.sandbox : undefined,
        before === undefined ? undefined : new Date(before.createTimeMs),
        before?.proposalId ?? "",
        pageSize + 1,
      ],
    );
    return { items: rows.slice(0, pageSize).map(toProposal), more: rows.length > pageSize };
  }

  async summarizeDecisions(scope: SandboxScope, selection: DecisionSelection): Promise<readonly DestinationSummary[]> {
    const { deniedOnly, limit, sinceMs } = selection;
    const { rows } = await this.#deps.pool.query<SummaryRow>(
      `select ${summaryColumns("case when $5 then '' else d.address end")}
         from unnest($2::smallint[]) as wanted (verdict)
        cross join lateral (
              select * from decisions d
               where d.sandbox_id = $1 and d.verdict = wanted.verdict and d.time >= coalesce($3::timestamptz, '-infinity')
               order by d.time desc, d.decision_id desc
               limit $4) d
        where ${decidedByPolicy}
        group by 1, 2, 3, 4`,
      [
        scope.sandboxId,
        deniedOnly ? [Verdict.DENIED, Verdict.WOULD_DENY] : everyVerdict,
        sinceMs === undefined ? undefined : new Date(sinceMs),
        limit,
        deniedOnly,
      ],
    );
    return rows.map(toSummary);
  }

  async summarizeDenied(scope: SandboxScope, decisionIds: readonly string[]): Promise<readonly DestinationSummary[]> {
    const { rows } = await this.#deps.pool.query<SummaryRow>(
      `select ${summaryColumns("''")}
         from decisions d
        where d.sandbox_id = $1 and d.decision_id = any($2) and d.verdict in (2, 4) and ${decidedByPolicy}
        group by 1, 2, 3, 4`,
      [scope.sandboxId, decisionIds],
    );
    return rows.map(toSummary);
  }
}

/** Whether it was the policy that decided, about a destination that was understood. */
const decidedByPolicy = `d.host <> '' and (d.verdict <> 2 or d.reason in ('host_not_allowed', 'port_not_allowed', 'ip_not_allowed'))`;

function summaryColumns(address: string): string {
  return `d.host, d.port, d.method = 'CONNECT' as tunnel, ${address} as address, count(*)::int as count,
          (extract(epoch from min(d.time)) * 1000000)::bigint as first_us,
          (extract(epoch from max(d.time)) * 1000000)::bigint as last_us,
          (array_agg(d.decision_id order by d.time desc, d.decision_id))[1:5] as decision_ids`;
}

interface SummaryRow {
  readonly host: string;
  readonly port: number;
  readonly tunnel: boolean;
  readonly address: string;
  readonly count: number;
  readonly first_us: bigint;
  readonly last_us: bigint;
  readonly decision_ids: readonly string[];
}

function toSummary({ first_us, last_us, decision_ids, ...rest }: SummaryRow): DestinationSummary {
  return { ...rest, firstUs: first_us, lastUs: last_us, decisionIds: decision_ids };
}

interface ProposalRow {
  readonly proposal: Buffer;
}

function toProposal(row: ProposalRow): Proposal {
  return readProposal(fromBinary(PolicyProposalSchema, row.proposal));
}

/** Holds the sandbox's policy until the commit, so that what is proposed for it is counted one after another. */
async function lockPolicy(tx: SqlClient, { sandboxId }: SandboxScope): Promise<void> {
  const { rows } = await tx.query<{ retired: boolean }>(
    `select retire_time is not null as retired from current_policies where sandbox_id = $1 for no key update`,
    [sandboxId],
  );
  if (rows[0] === undefined)
    throw new ServiceError("POLICY_NOT_FOUND", "the sandbox has no policy", { sandbox_id: sandboxId });
  if (rows[0].retired) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
}

/** What stands for a proposal already: one that is pending, or for a sandbox one that was rejected. */
async function findSame(tx: SqlClient, scope: SandboxScope, proposal: Proposal): Promise<Proposal | undefined> {
  const { rows } = await tx.query<ProposalRow>(
    `select proposal from policy_proposals
      where sandbox_id = $1 and content_digest = $2 and state = any($3::smallint[])
      order by state, create_time desc
      limit 1`,
    [
      scope.sandboxId,
      contentDigest(proposal),
      proposal.source === "sandbox" ? [stateNumbers.pending, stateNumbers.rejected] : [stateNumbers.pending],
    ],
  );
  return rows[0] === undefined ? undefined : toProposal(rows[0]);
}

async function insertProposal(tx: SqlClient, proposal: Proposal): Promise<void> {
  await tx.query(
    `insert into policy_proposals
       (proposal_id, sandbox_id, state, source, version, content_digest, create_time, update_time, proposal)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      proposal.proposalId,
      proposal.sandboxId,
      stateNumbers[proposal.state],
      sourceNumbers[proposal.source],
      proposal.version,
      contentDigest(proposal),
      new Date(proposal.createTimeMs),
      new Date(proposal.updateTimeMs),
      toBinary(PolicyProposalSchema, writeProposal(proposal)),
    ],
  );
}

/** Throws LIMIT_REACHED where, with what was added, there is more than there may be. */
async function requireRoom(tx: SqlClient, { sandboxId }: SandboxScope, nowMs: number): Promise<void> {
  const { rows } = await tx.query<{ pending: number; of_sandbox: number; recent: number }>(
    `select count(*) filter (where state = 1)::int as pending,
            count(*) filter (where state = 1 and source = 1)::int as of_sandbox,
            count(*) filter (where source = 1 and create_time > $2)::int as recent
       from policy_proposals
      where sandbox_id = $1 and (state = 1 or (source = 1 and create_time > $2))`,
    [sandboxId, new Date(nowMs - hourMs)],
  );
  const { pending, of_sandbox, recent } = rows[0] ?? { pending: 0, of_sandbox: 0, recent: 0 };
  if (
    pending > proposalLimits.pending ||
    of_sandbox > proposalLimits.pendingOfSandbox ||
    recent > proposalLimits.bySandboxPerHour
  )
    throw new ServiceError("LIMIT_REACHED", "there are as many proposals for this sandbox as there may be", {
      sandbox_id: sandboxId,
    });
}

async function replaceProposal(tx: SqlClient, scope: SandboxScope, proposal: Proposal): Promise<void> {
  const digest = contentDigest(proposal);
  const pending = proposal.state === "pending";
  if (pending && (await isPendingElsewhere(tx, scope, proposal.proposalId, digest)))
    throw new ServiceError("REQUEST_INVALID", "another pending proposal has these rules", { field: "rules" });
  const { rowCount } = await tx.query(
    `update policy_proposals set state = $4, version = $3 + 1, content_digest = $5, update_time = $6, proposal = $7
      where sandbox_id = $1 and proposal_id = $2 and version = $3`,
    [
      scope.sandboxId,
      proposal.proposalId,
      proposal.version - 1n,
      stateNumbers[proposal.state],
      digest,
      new Date(proposal.updateTimeMs),
      toBinary(PolicyProposalSchema, writeProposal(proposal)),
    ],
  );
  if (rowCount === 0)
    throw new ServiceError("PROPOSAL_CHANGED", "the proposal was changed meanwhile", {
      proposal_id: proposal.proposalId,
    });
}

async function isPendingElsewhere(
  tx: SqlClient,
  scope: SandboxScope,
  proposalId: string,
  digest: Uint8Array,
): Promise<boolean> {
  await lockPolicy(tx, scope);
  const { rows } = await tx.query(
    `select from policy_proposals where sandbox_id = $1 and content_digest = $2 and state = 1 and proposal_id <> $3`,
    [scope.sandboxId, digest, proposalId],
  );
  return rows.length > 0;
}

async function saveAnswer(
  tx: SqlClient,
  scope: SandboxScope,
  claim: RequestClaim | undefined,
  answer: Uint8Array,
): Promise<void> {
  if (claim === undefined) return;
  await tx.query(`update requests set answer = $3 where organization_id = $1 and request_id = $2`, [
    scope.organizationId,
    claim.requestId,
    answer,
  ]);
}

function requireAnswer(answer: Buffer | null): Uint8Array {
  if (answer === null) throw new Error("a request was claimed and not answered");
  return answer;
}

function auditRecord(
  { organizationId, sandboxId }: SandboxScope,
  action: string,
  { principal, peer }: PolicyAuthor,
  claim: RequestClaim | undefined,
  details: Readonly<Record<string, string>>,
) {
  return {
    action,
    principal,
    peer,
    organizationId,
    sandboxId,
    details: { ...details, ...(claim === undefined ? {} : { request_id: claim.requestId }) },
  };
}
