import { create, toBinary } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { ApprovePolicyProposalResponseSchema, PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { addRules } from "../domain/policy-rules.ts";
import { approveProposal } from "../domain/proposal.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { canonicalPolicy } from "../messages/canonical-policy.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { writeProposal } from "../messages/proposal-message.ts";
import { requireChange, requireProposal } from "../messages/require-proposal.ts";
import { readReview } from "../messages/review.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";

const longestTtlMs = 10 * 366 * 24 * 60 * 60_000;

/** PolicyService.ApprovePolicyProposal: a revision with a proposal's rules, if it is still the proposal that was reviewed. */
export function approvePolicyProposal(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.approvePolicyProposal> {
  const { proposals } = deps;
  return async (request, call) => {
    const [scope, author] = [sandboxScopeOf(call), authorOf(call)];
    const asked = { request, scope, author, store: proposals };
    return answerOnce(PolicyService.method.approvePolicyProposal, asked, async (claim) => {
      const nowMs = deps.clock();
      const review = readReview(request, author, nowMs);
      const expireTime = readTtl(request.ttl, nowMs);
      const seen = await requireProposal(proposals, scope, request.proposalId);
      const base = await requirePolicyBase(deps.store, scope);
      const { policy, added } = addRules(base.policy, seen.rules, { nowMs, expireTime });
      const grant = { rules: added, revision: base.revision + 1n };
      const proposal = requireChange(seen, approveProposal(seen, grant, review));
      return proposals.change(
        scope,
        {
          proposal,
          policy: canonicalPolicy(policy),
          expectedRevision: base.revision,
          action: "policy.approve",
          claim,
          answer: (revision) =>
            toBinary(
              ApprovePolicyProposalResponseSchema,
              create(ApprovePolicyProposalResponseSchema, {
                proposal: writeProposal(proposal),
                ...(revision === undefined ? {} : { revision }),
              }),
            ),
        },
        author,
      );
    });
  };
}

/** When rules that stay so long end; undefined where they stay for good. */
function readTtl(ttl: Duration | undefined, nowMs: number) {
  if (ttl === undefined) return undefined;
  const ms = Math.floor(durationMs(ttl));
  if (!(ms >= 1000 && ms <= longestTtlMs))
    throw new ServiceError("REQUEST_INVALID", "a grant stays 1 second to 10 years", { field: "ttl" });
  return { seconds: BigInt(Math.floor((nowMs + ms) / 1000)), nanos: ((nowMs + ms) % 1000) * 1_000_000 };
}
