import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { lintPolicy, reviewRules } from "@sandgate/policy";
import type { Handler } from "@sandgate/rpc";
import { addRules } from "../domain/policy-rules.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { writeProposal } from "../messages/proposal-message.ts";
import { requireProposal } from "../messages/require-proposal.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { simulateCandidate } from "./simulate-candidate.ts";

/** PolicyService.GetPolicyProposal: a proposal with what a reviewer should know. */
export function getPolicyProposal(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: Pick<ProposalStore, "findProposal" | "summarizeDecisions">;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.getPolicyProposal> {
  return async ({ proposalId }, call) => {
    const scope = sandboxScopeOf(call);
    const proposal = await requireProposal(deps.proposals, scope, proposalId);
    const base = await requirePolicyBase(deps.store, scope);
    const { policy } = addRules(base.policy, proposal.rules, { nowMs: deps.clock(), expireTime: undefined });
    const policies = { current: base.policy, candidate: policy };
    const simulable = proposal.state === "pending" && lintPolicy(policy).ok;
    return {
      proposal: writeProposal(proposal),
      warnings: [...reviewRules(proposal.rules)],
      baseRevision: base.revision,
      ...(simulable ? { simulation: await simulateCandidate(deps, scope, policies) } : {}),
    };
  };
}
