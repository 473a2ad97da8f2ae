import { create, toBinary } from "@bufbuild/protobuf";
import { PolicyService, UpdatePolicyProposalResponseSchema } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { editProposal } from "../domain/proposal.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { writeProposal } from "../messages/proposal-message.ts";
import { readProposedRules } from "../messages/proposed-rules.ts";
import { requireChange, requireProposal } from "../messages/require-proposal.ts";
import { readReview } from "../messages/review.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";

/** PolicyService.UpdatePolicyProposal: other rules in a pending proposal, which becomes another version. */
export function updatePolicyProposal(deps: {
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.updatePolicyProposal> {
  const { proposals } = deps;
  return async (request, call) => {
    const [scope, author] = [sandboxScopeOf(call), authorOf(call)];
    const asked = { request, scope, author, store: proposals };
    return answerOnce(PolicyService.method.updatePolicyProposal, asked, async (claim) => {
      const { expectedVersion, proposalId } = request;
      const review = readReview({ expectedVersion }, author, deps.clock());
      const rules = readProposedRules(request.rules, { field: "rules", bySandbox: false });
      const seen = await requireProposal(proposals, scope, proposalId);
      const proposal = requireChange(seen, editProposal(seen, rules, review));
      const answer = () =>
        toBinary(
          UpdatePolicyProposalResponseSchema,
          create(UpdatePolicyProposalResponseSchema, { proposal: writeProposal(proposal) }),
        );
      const change = { proposal, expectedRevision: undefined, action: "policy.edit_proposal", claim, answer };
      return proposals.change(scope, change, author);
    });
  };
}
