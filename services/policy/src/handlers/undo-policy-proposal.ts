import { create, toBinary } from "@bufbuild/protobuf";
import { type PolicyRevision, PolicyService, UndoPolicyProposalResponseSchema } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { removeAdded } from "../domain/policy-rules.ts";
import { undoProposal } from "../domain/proposal.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { canonicalPolicy } from "../messages/canonical-policy.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { writeProposal } from "../messages/proposal-message.ts";
import { requireChange, requireProposal } from "../messages/require-proposal.ts";
import { readReview } from "../messages/review.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";

/** PolicyService.UndoPolicyProposal: a revision without what an approval added. */
export function undoPolicyProposal(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.undoPolicyProposal> {
  const { proposals } = deps;
  return async (request, call) => {
    const [scope, author] = [sandboxScopeOf(call), authorOf(call)];
    const asked = { request, scope, author, store: proposals };
    return answerOnce(PolicyService.method.undoPolicyProposal, asked, async (claim) => {
      const review = readReview(request, author, deps.clock());
      const seen = await requireProposal(proposals, scope, request.proposalId);
      const proposal = requireChange(seen, undoProposal(seen, review));
      const base = await requirePolicyBase(deps.store, scope);
      const policy = removeAdded(base.policy, seen.grantedRules);
      if (policy === undefined)
        throw new ServiceError("PROPOSAL_RULES_CHANGED", "the rules that it added were changed since", {
          proposal_id: seen.proposalId,
        });
      const gone = policy.rules.length === base.policy.rules.length;
      const newest = gone ? (await deps.store.findPolicy(scope, base.revision))?.revision : undefined;
      return proposals.change(
        scope,
        {
          proposal,
          policy: gone ? undefined : canonicalPolicy(policy),
          expectedRevision: base.revision,
          action: "policy.undo",
          claim,
          answer: (revision) => encodeAnswer(proposal, revision ?? newest),
        },
        author,
      );
    });
  };
}

function encodeAnswer(proposal: Parameters<typeof writeProposal>[0], revision: PolicyRevision | undefined): Uint8Array {
  return toBinary(
    UndoPolicyProposalResponseSchema,
    create(UndoPolicyProposalResponseSchema, {
      proposal: writeProposal(proposal),
      ...(revision === undefined ? {} : { revision }),
    }),
  );
}
