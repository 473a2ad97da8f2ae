import { create, toBinary } from "@bufbuild/protobuf";
import {
  PolicyService,
  type RecordedDecisions,
  type SubmitPolicyAnalysisRequest,
  SubmitPolicyAnalysisResponseSchema,
} from "@sandgate/api/policy";
import { principalKey, type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { compilePolicy, decide, parseWireHost, proposeRules } from "@sandgate/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { decisionIdPattern } from "../domain/ids.ts";
import type { Proposal } from "../domain/proposal.ts";
import { submissionLimits } from "../domain/proposal-limits.ts";
import { answerOnce } from "../messages/answer-once.ts";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { hideReview, writeProposal } from "../messages/proposal-message.ts";
import { readProposedRules } from "../messages/proposed-rules.ts";
import { readReason } from "../messages/reason.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { DestinationSummary, ProposalStore } from "../store/proposal-store.ts";
import { authorOf } from "./author-of.ts";
import { newProposal } from "./new-proposal.ts";
import { reviewedDecisions } from "./simulate-candidate.ts";

interface Deps {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: ProposalStore;
  readonly clock: () => number;
}

type Content = Pick<Proposal, "rules" | "evidence">;

/** PolicyService.SubmitPolicyAnalysis: proposals of rules that are named, or that decisions on record lack. */
export function submitPolicyAnalysis(deps: Deps): Handler<typeof PolicyService.method.submitPolicyAnalysis> {
  const { proposals } = deps;
  return async (request, call) => {
    const [scope, author] = [sandboxScopeOf(call), authorOf(call)];
    const bySandbox = call.get(principalKey).kind === "sandbox";
    const asked = { request, scope, author, store: proposals };
    return answerOnce(PolicyService.method.submitPolicyAnalysis, asked, async (claim) => {
      const reason = readReason(request.reason);
      const contents = await readContents(deps, scope, request.source, bySandbox);
      const whose = request.source.case === "decisions" ? "observation" : "user";
      const about = { scope, author, nowMs: deps.clock() };
      const source = bySandbox ? "sandbox" : whose;
      const submission = contents.map((content) => newProposal(about, { ...content, source, reason }));
      const answer = (kept: readonly Proposal[]) =>
        toBinary(
          SubmitPolicyAnalysisResponseSchema,
          create(SubmitPolicyAnalysisResponseSchema, {
            proposals: kept.map((proposal) => writeProposal(bySandbox ? hideReview(proposal) : proposal)),
          }),
        );
      return proposals.submit(scope, { proposals: submission, claim, answer }, author);
    });
  };
}

async function readContents(
  deps: Deps,
  scope: SandboxScope,
  source: SubmitPolicyAnalysisRequest["source"],
  bySandbox: boolean,
): Promise<readonly Content[]> {
  switch (source.case) {
    case "rules":
      return [{ rules: readProposedRules(source.value.rules, { field: "rules.rules", bySandbox }), evidence: [] }];
    case "decisions":
      return readDecisions(deps, scope, source.value, bySandbox);
    case undefined:
      throw new ServiceError("REQUEST_INVALID", "the request says not what is proposed", { field: "source" });
  }
}

/** What the decisions lack that the policy, as it is now, would not let through. Throws NOTHING_TO_PROPOSE where that is nothing. */
async function readDecisions(
  deps: Deps,
  scope: SandboxScope,
  { decisionIds, generalizeSubdomains }: RecordedDecisions,
  bySandbox: boolean,
): Promise<readonly Content[]> {
  const named = decisionIds.length > 0;
  if (decisionIds.length > submissionLimits.decisions || !decisionIds.every((id) => decisionIdPattern.test(id)))
    throw new ServiceError("REQUEST_INVALID", "a request names at most 100 decisions", {
      field: "decisions.decision_ids",
    });
  if (bySandbox && !named)
    throw new ServiceError("REQUEST_INVALID", "a sandbox names the decisions", { field: "decisions.decision_ids" });
  const { policy } = await requirePolicyBase(deps.store, scope);
  const found = named
    ? await deps.proposals.summarizeDenied(scope, decisionIds)
    : await deps.proposals.summarizeDecisions(scope, { deniedOnly: true, limit: reviewedDecisions });
  const compiled = compilePolicy(policy);
  const lacking = found.filter((one) => lacksRule(compiled, one, deps.clock()));
  const proposed = proposeRules(lacking, { generalize: generalizeSubdomains });
  if (proposed.length === 0)
    throw new ServiceError("NOTHING_TO_PROPOSE", "no rule would have let these through", {
      sandbox_id: scope.sandboxId,
    });
  return proposed.slice(0, submissionLimits.proposals).map(({ rule, evidence }) => ({
    rules: readProposedRules([rule], { field: "decisions", bySandbox }),
    evidence: evidence.slice(0, submissionLimits.evidence),
  }));
}

/** Whether the policy does not let a destination through for want of a rule: not one that it allows, and not one that a rule forbids. */
function lacksRule(
  policy: ReturnType<typeof compilePolicy>,
  { host, port }: DestinationSummary,
  nowMs: number,
): boolean {
  const parsed = parseWireHost(host);
  if (parsed === undefined) return false;
  const verdict = decide(policy, { host: parsed, port }, nowMs);
  return verdict.verdict === "would_deny" || (verdict.verdict === "deny" && !verdict.forbidden);
}
