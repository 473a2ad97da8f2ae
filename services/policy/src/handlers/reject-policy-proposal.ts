import { create, toBinary } from "@bufbuild/protobuf";
import { PolicyService, RejectPolicyProposalResponseSchema } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { rejectProposal } from "../domain/proposal.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { writeProposal } from "../messages/proposal-message.ts";
import { requireChange, requireProposal } from "../messages/require-proposal.ts";
import { readReview } from "../messages/review.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";

/** PolicyService.RejectPolicyProposal: a pending proposal comes to nothing. */
export function rejectPolicyProposal(deps: {
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.rejectPolicyProposal> {
  const { proposals } = deps;
  return async (request, call) => {
    const [scope, author] = [sandboxScopeOf(call), authorOf(call)];
    const asked = { request, scope, author, store: proposals };
    return answerOnce(PolicyService.method.rejectPolicyProposal, asked, async (claim) => {
      const review = readReview(request, author, deps.clock());
      const seen = await requireProposal(proposals, scope, request.proposalId);
      const proposal = requireChange(seen, rejectProposal(seen, review));
      const answer = () =>
        toBinary(
          RejectPolicyProposalResponseSchema,
          create(RejectPolicyProposalResponseSchema, { proposal: writeProposal(proposal) }),
        );
      const change = { proposal, expectedRevision: undefined, action: "policy.reject", claim, answer };
      return proposals.change(scope, change, author);
    });
  };
}
