import type { SandboxScope } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import { proposalIdPattern } from "../domain/ids.ts";
import type { Proposal, ProposalChange } from "../domain/proposal.ts";
import type { ProposalStore } from "../store/proposal-store.ts";

/** A sandbox's proposal. Throws PROPOSAL_NOT_FOUND, also for one of another sandbox. */
export async function requireProposal(
  store: Pick<ProposalStore, "findProposal">,
  scope: SandboxScope,
  proposalId: string,
): Promise<Proposal> {
  const proposal = proposalIdPattern.test(proposalId) ? await store.findProposal(scope, proposalId) : undefined;
  if (proposal === undefined) throw new ServiceError("PROPOSAL_NOT_FOUND", "the sandbox has no such proposal");
  return proposal;
}

/** A proposal's next version. Throws PROPOSAL_CHANGED and PROPOSAL_DECIDED with the version and state that it has. */
export function requireChange(proposal: Proposal, change: ProposalChange): Proposal {
  if (change.ok) return change.proposal;
  const { proposalId, version, state } = proposal;
  const metadata = { proposal_id: proposalId, version: String(version), state };
  switch (change.fault) {
    case "changed":
      throw new ServiceError(
        "PROPOSAL_CHANGED",
        "the proposal has another version than the one that was seen",
        metadata,
      );
    case "decided":
      throw new ServiceError("PROPOSAL_DECIDED", "the state of the proposal does not allow this", metadata);
  }
}
