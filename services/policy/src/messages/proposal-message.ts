import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type PolicyProposal,
  PolicyProposalSchema,
  ProposalEvidenceSchema,
  ProposalSource as Source,
  ProposalState as State,
} from "@sandgate/api/policy";
import { contentOf } from "../domain/policy-rules.ts";
import type { Evidence, Proposal, ProposalSource, ProposalState } from "../domain/proposal.ts";
import { fromMicroseconds, microsecondsOf } from "./microseconds.ts";

/** The numbers of states in messages and in the store. */
export const stateNumbers = {
  pending: State.PENDING,
  approved: State.APPROVED,
  rejected: State.REJECTED,
  undone: State.UNDONE,
} as const satisfies Readonly<Record<ProposalState, State>>;

/** The numbers of sources in messages and in the store. */
export const sourceNumbers = {
  sandbox: Source.SANDBOX,
  user: Source.USER,
  observation: Source.OBSERVATION,
} as const satisfies Readonly<Record<ProposalSource, Source>>;

/** The state with a number; undefined for none. */
export function stateOf(number: State): ProposalState | undefined {
  return keyOf(stateNumbers, number);
}

/** A proposal as a message. */
export function writeProposal(proposal: Proposal): PolicyProposal {
  const { state, source, createTimeMs, updateTimeMs, evidence, rules, grantedRules, ...rest } = proposal;
  return create(PolicyProposalSchema, {
    ...rest,
    state: stateNumbers[state],
    source: sourceNumbers[source],
    rules: rules.map(ruleInit),
    grantedRules: grantedRules.map(ruleInit),
    evidence: evidence.map(writeEvidence),
    createTime: timestampFromMs(createTimeMs),
    updateTime: timestampFromMs(updateTimeMs),
  });
}

/** A proposal from a message that `writeProposal` made. */
export function readProposal(message: PolicyProposal): Proposal {
  const state = stateOf(message.state);
  const source = keyOf(sourceNumbers, message.source);
  const { createTime, updateTime } = message;
  if (state === undefined || source === undefined || createTime === undefined || updateTime === undefined)
    throw new Error("a stored proposal is not whole");
  return {
    proposalId: message.proposalId,
    sandboxId: message.sandboxId,
    state,
    source,
    version: message.version,
    proposer: message.proposer,
    reason: message.reason,
    rules: message.rules,
    evidence: message.evidence.map((one) => ({
      host: one.host,
      port: one.port,
      tunnel: one.tunnel,
      count: Number(one.count),
      firstUs: one.firstTime === undefined ? 0n : microsecondsOf(one.firstTime),
      lastUs: one.lastTime === undefined ? 0n : microsecondsOf(one.lastTime),
      decisionIds: one.decisionIds,
    })),
    createTimeMs: timestampMs(createTime),
    updateTimeMs: timestampMs(updateTime),
    reviewer: message.reviewer,
    reviewReason: message.reviewReason,
    grantedRules: message.grantedRules,
    grantedRevision: message.grantedRevision,
  };
}

/** A proposal as its sandbox may see it: not who reviewed it, nor what they wrote. */
export function hideReview(proposal: Proposal): Proposal {
  return { ...proposal, reviewer: "", reviewReason: "" };
}

/** The same for proposals of the same rules, whatever their names and order. */
export function contentDigest({ rules }: Pick<Proposal, "rules">): Uint8Array {
  return createHash("sha256")
    .update(JSON.stringify(rules.map(contentOf).sort()))
    .digest();
}

function writeEvidence({ firstUs, lastUs, count, decisionIds, ...rest }: Evidence) {
  return create(ProposalEvidenceSchema, {
    ...rest,
    count: BigInt(count),
    decisionIds: [...decisionIds],
    firstTime: create(TimestampSchema, fromMicroseconds(firstUs)),
    lastTime: create(TimestampSchema, fromMicroseconds(lastUs)),
  });
}

function ruleInit({ name, action, hosts, ports, allowedIps, expireTime }: Proposal["rules"][number]) {
  return {
    name,
    action,
    hosts: [...hosts],
    ports: [...ports],
    allowedIps: [...allowedIps],
    ...(expireTime === undefined ? {} : { expireTime: create(TimestampSchema, expireTime) }),
  };
}

function keyOf<K extends string>(numbers: Readonly<Record<K, number>>, number: number): K | undefined {
  for (const key in numbers) if (numbers[key] === number) return key;
  return undefined;
}
