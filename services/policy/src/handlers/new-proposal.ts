import { randomBytes } from "node:crypto";
import type { SandboxScope } from "@sandgate/identity";
import { formatProposalId } from "../domain/ids.ts";
import type { Proposal } from "../domain/proposal.ts";
import type { PolicyAuthor } from "../store/policy-store.ts";

/** A proposal in its first version. */
export function newProposal(
  about: { readonly scope: SandboxScope; readonly author: PolicyAuthor; readonly nowMs: number },
  content: Pick<Proposal, "source" | "reason" | "rules" | "evidence">,
): Proposal {
  const { scope, author, nowMs } = about;
  return {
    ...content,
    proposalId: formatProposalId(randomBytes(20)),
    sandboxId: scope.sandboxId,
    state: "pending",
    version: 1n,
    proposer: author.principal,
    createTimeMs: nowMs,
    updateTimeMs: nowMs,
    reviewer: "",
    reviewReason: "",
    grantedRules: [],
    grantedRevision: 0n,
  };
}
