import type { ReadonlyRule } from "@sandgate/policy";

/** How far a proposal has come. */
export type ProposalState = "pending" | "approved" | "rejected" | "undone";

/** Where a proposal comes from. */
export type ProposalSource = "sandbox" | "user" | "observation";

/** Decisions with one destination, by one protocol. */
export interface Evidence {
  readonly host: string;
  readonly port: number;
  readonly tunnel: boolean;
  readonly count: number;
  /** Microseconds since the epoch. */
  readonly firstUs: bigint;
  readonly lastUs: bigint;
  readonly decisionIds: readonly string[];
}

/** Rules that somebody would have added to a sandbox's policy. */
export interface Proposal {
  readonly proposalId: string;
  readonly sandboxId: string;
  readonly state: ProposalState;
  readonly version: bigint;
  readonly source: ProposalSource;
  readonly proposer: string;
  readonly reason: string;
  readonly rules: readonly ReadonlyRule[];
  readonly evidence: readonly Evidence[];
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  /** Empty until somebody edits or decides. */
  readonly reviewer: string;
  readonly reviewReason: string;
  readonly grantedRules: readonly ReadonlyRule[];
  /** 0 until it is approved. */
  readonly grantedRevision: bigint;
}

/** Who changes a proposal, and which version of it they saw. */
export interface Review {
  readonly reviewer: string;
  readonly reason: string;
  readonly atMs: number;
  readonly expectedVersion: bigint;
}

/** Why a proposal cannot be changed so: somebody else changed it since it was seen, or it is in another state. */
export type ProposalFault = "changed" | "decided";

/** A proposal's next version, or why there is none. */
export type ProposalChange =
  | { readonly ok: true; readonly proposal: Proposal }
  | { readonly ok: false; readonly fault: ProposalFault };

/** Replaces the rules of a pending proposal. */
export function editProposal(proposal: Proposal, rules: readonly ReadonlyRule[], review: Review): ProposalChange {
  return change(proposal, "pending", review, { rules });
}

/** Approves a pending proposal, whose rules were added to the policy as `grant` says. */
export function approveProposal(
  proposal: Proposal,
  grant: { readonly rules: readonly ReadonlyRule[]; readonly revision: bigint },
  review: Review,
): ProposalChange {
  return change(proposal, "pending", review, {
    state: "approved",
    grantedRules: grant.rules,
    grantedRevision: grant.revision,
  });
}

/** Rejects a pending proposal. */
export function rejectProposal(proposal: Proposal, review: Review): ProposalChange {
  return change(proposal, "pending", review, { state: "rejected" });
}

/** Takes an approval back. There is no way on from there: who wants it again proposes it again. */
export function undoProposal(proposal: Proposal, review: Review): ProposalChange {
  return change(proposal, "approved", review, { state: "undone" });
}

function change(proposal: Proposal, from: ProposalState, review: Review, next: Partial<Proposal>): ProposalChange {
  // the state first: to whoever repeats a decision, that it was taken says more than that the version is another
  if (proposal.state !== from) return { ok: false, fault: "decided" };
  if (proposal.version !== review.expectedVersion) return { ok: false, fault: "changed" };
  return {
    ok: true,
    proposal: {
      ...proposal,
      ...next,
      version: proposal.version + 1n,
      updateTimeMs: review.atMs,
      reviewer: review.reviewer,
      reviewReason: review.reason,
    },
  };
}
