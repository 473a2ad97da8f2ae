import { create, fromBinary } from "@bufbuild/protobuf";
import { GetDraftPolicyResponseSchema, PolicySchema, type PolicyService } from "@sandgate/api/policy";
import { principalKey, sandboxScopeOf } from "@sandgate/identity";
import { reviewRules } from "@sandgate/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { addRules } from "../domain/policy-rules.ts";
import { proposalLimits } from "../domain/proposal-limits.ts";
import { canonicalPolicy } from "../messages/canonical-policy.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { hideReview, writeProposal } from "../messages/proposal-message.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { simulateCandidate } from "./simulate-candidate.ts";

/** PolicyService.GetDraftPolicy: a policy with everything that is proposed; to a sandbox what became of its own proposals. */
export function getDraftPolicy(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: Pick<ProposalStore, "listProposals" | "summarizeDecisions">;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.getDraftPolicy> {
  return async (_request, call) => {
    const scope = sandboxScopeOf(call);
    if (call.get(principalKey).kind !== "user") {
      const own = await deps.proposals.listProposals(scope, { states: [], bySandbox: true, pageSize: 50 });
      return create(GetDraftPolicyResponseSchema, { proposals: own.items.map(hideReview).map(writeProposal) });
    }
    const base = await requirePolicyBase(deps.store, scope);
    const pending = { states: ["pending"] as const, pageSize: proposalLimits.pending };
    const { items } = await deps.proposals.listProposals(scope, pending);
    const proposed = items.flatMap(({ rules }) => rules);
    const { policy, added } = addRules(base.policy, proposed, { nowMs: deps.clock(), expireTime: undefined });
    const known = {
      proposals: items.map(writeProposal),
      baseRevision: base.revision,
      warnings: [...reviewRules(added)],
    };
    try {
      const draft = fromBinary(PolicySchema, canonicalPolicy(policy));
      const policies = { current: base.policy, candidate: draft };
      return { ...known, draft, simulation: await simulateCandidate(deps, scope, policies) };
    } catch (error) {
      if (!(error instanceof ServiceError && error.reason === "POLICY_INVALID")) throw error;
      return { ...known, fault: error.metadata.fault ?? "" };
    }
  };
}
