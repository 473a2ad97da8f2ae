import { create, toBinary } from "@bufbuild/protobuf";
import {
  Mode,
  PolicyService,
  type UpdateConfigRequest,
  type UpdateConfigResponse,
  UpdateConfigResponseSchema,
} from "@sandgate/api/policy";
import { principalKey, type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { type ReadonlyPolicy, ruleName } from "@sandgate/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { addRules } from "../domain/policy-rules.ts";
import type { Proposal } from "../domain/proposal.ts";
import { submissionLimits } from "../domain/proposal-limits.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { canonicalPolicy } from "../messages/canonical-policy.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { hideReview, writeProposal } from "../messages/proposal-message.ts";
import { readProposedRules } from "../messages/proposed-rules.ts";
import { readReason } from "../messages/reason.ts";
import type { PolicyAuthor, PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore, RequestClaim } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";
import { newProposal } from "./new-proposal.ts";

interface Deps {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}

interface Asked {
  readonly request: UpdateConfigRequest;
  readonly scope: SandboxScope;
  readonly author: PolicyAuthor;
  readonly store: ProposalStore;
}

/** PolicyService.UpdateConfig: a revision for a user, a proposal for a sandbox (G-21). */
export function updateConfig(deps: Deps): Handler<typeof PolicyService.method.updateConfig> {
  return async (request, call) => {
    const asked = { request, scope: sandboxScopeOf(call), author: authorOf(call), store: deps.proposals };
    const principal = call.get(principalKey);
    return answerOnce(PolicyService.method.updateConfig, asked, (claim) =>
      // whoever is not known to be a user only proposes
      principal.kind === "user" ? change(deps, asked, claim) : propose(deps, asked, claim),
    );
  };
}

async function change(deps: Deps, { request, scope, author }: Asked, claim: RequestClaim | undefined) {
  const reason = readReason(request.reason);
  const nowMs = deps.clock();
  const base = await requirePolicyBase(deps.store, scope);
  if (request.expectedRevision !== 0n && request.expectedRevision !== base.revision)
    throw new ServiceError("POLICY_REVISION_STALE", "the policy was changed meanwhile", {
      revision: String(base.revision),
    });
  const policy = applyChange(base.policy, request, nowMs);
  return deps.proposals.change(
    scope,
    {
      policy: canonicalPolicy(policy),
      expectedRevision: base.revision,
      action: "policy.update_config",
      reason,
      claim,
      answer: (revision) =>
        encodeOutcome(revision === undefined ? { case: undefined } : { case: "revision", value: revision }),
    },
    author,
  );
}

function applyChange(policy: ReadonlyPolicy, request: UpdateConfigRequest, nowMs: number): ReadonlyPolicy {
  const { addRules: rules, removeRules, mode } = request;
  if (rules.length > submissionLimits.rules)
    throw new ServiceError("REQUEST_INVALID", "a request adds at most 20 rules", { field: "add_rules" });
  const known = new Set(policy.rules.map(({ name }) => name));
  const unknown = removeRules.findIndex((name) => !known.has(name));
  if (unknown >= 0)
    throw new ServiceError("REQUEST_INVALID", "the policy has no rule of this name", {
      field: `remove_rules[${unknown}]`,
    });
  const kept = { ...policy, rules: policy.rules.filter(({ name }) => !removeRules.includes(name)) };
  const taken = new Set<unknown>(rules.map(({ name }) => name));
  const named = rules.map((rule) =>
    rule.name === "" ? { ...rule, name: ruleName(rule.hosts[0] ?? "", taken) } : rule,
  );
  const { policy: changed } = addRules(kept, named, { nowMs, expireTime: undefined });
  return mode === Mode.UNSPECIFIED ? changed : { ...changed, mode };
}

async function propose(deps: Deps, { request, scope, author }: Asked, claim: RequestClaim | undefined) {
  if (request.removeRules.length > 0 || request.mode !== Mode.UNSPECIFIED || request.expectedRevision !== 0n)
    throw new ServiceError("REQUEST_INVALID", "a sandbox can only propose to add rules", { field: "add_rules" });
  const rules = readProposedRules(request.addRules, { field: "add_rules", bySandbox: true });
  const about = { scope, author, nowMs: deps.clock() };
  const content = { source: "sandbox" as const, reason: readReason(request.reason), rules, evidence: [] };
  const answer = ([kept]: readonly Proposal[]) =>
    encodeOutcome(
      kept === undefined ? { case: undefined } : { case: "proposal", value: writeProposal(hideReview(kept)) },
    );
  return deps.proposals.submit(scope, { proposals: [newProposal(about, content)], claim, answer }, author);
}

function encodeOutcome(outcome: UpdateConfigResponse["outcome"]): Uint8Array {
  return toBinary(UpdateConfigResponseSchema, create(UpdateConfigResponseSchema, { outcome }));
}
