import type { PolicyRevision } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import type { Evidence, Proposal, ProposalState } from "../domain/proposal.ts";
import type { Page, PolicyAuthor } from "./policy-store.ts";

/** A request that is recognized if it is repeated. */
export interface RequestClaim {
  readonly requestId: string;
  /** What a repeated request must have in common with the first. */
  readonly digest: Uint8Array;
}

/** Proposals to be kept, in their first version. */
export interface ProposalSubmission {
  readonly proposals: readonly Proposal[];
  readonly claim: RequestClaim | undefined;
  /** What is answered, now and when the request is repeated. */
  answer(kept: readonly Proposal[]): Uint8Array;
}

/** A proposal's next version, a policy's next revision, or both. */
export interface ConfigChange {
  /** Its version is one more than that which is stored. */
  readonly proposal?: Proposal | undefined;
  /** A sandgate.policy.v1.Policy in canonical form. */
  readonly policy?: Uint8Array | undefined;
  /** The newest revision, if the policy changes; undefined: the first one is made. */
  readonly expectedRevision: bigint | undefined;
  /** For the audit log, such as policy.approve. */
  readonly action: string;
  /** Why, for the audit log; of a proposal it is in the proposal. */
  readonly reason?: string;
  readonly claim: RequestClaim | undefined;
  /** What is answered, now and when the request is repeated. */
  answer(revision: PolicyRevision | undefined): Uint8Array;
}

/** Which proposals a page has, newest first. */
export interface ProposalQuery {
  /** Empty: all. */
  readonly states: readonly ProposalState[];
  /** Only those that the sandbox made itself. */
  readonly bySandbox?: boolean;
  readonly pageSize: number;
  /** The last proposal of the page before; undefined for the first page. */
  readonly before?: { readonly createTimeMs: number; readonly proposalId: string } | undefined;
}

/** Which decisions are summed up. */
export interface DecisionSelection {
  /** Only those that no rule allowed, whatever address they led to. */
  readonly deniedOnly: boolean;
  /** The newest so many of each verdict. */
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly sinceMs?: number | undefined;
}

/** Decisions on record with one destination. */
export interface DestinationSummary extends Evidence {
  /** What was dialled; empty where nothing was, or where that was not asked for. */
  readonly address: string;
}

/** Keeps proposals, and changes policies by them. What is one sandbox's own is reached with a SandboxScope alone. */
export interface ProposalStore {
  /** The answer to a request that was answered before. Throws REQUEST_ID_REUSED for the id of another request. */
  findAnswer(scope: SandboxScope, claim: RequestClaim): Promise<Uint8Array | undefined>;
  /**
   * Keeps proposals, their audit event and the answer, all or nothing. In place of one whose rules are pending already, that one is kept; so
   * is one that was rejected, for what a sandbox proposes. Throws LIMIT_REACHED, and POLICY_NOT_FOUND for a sandbox without policy.
   */
  submit(scope: SandboxScope, submission: ProposalSubmission, author: PolicyAuthor): Promise<Uint8Array>;
  /**
   * Makes a change, its audit event and the answer, all or nothing. Throws PROPOSAL_CHANGED and POLICY_REVISION_STALE where it rests on
   * what is not the newest any more, and SANDBOX_NOT_FOUND for a retired sandbox.
   */
  change(scope: SandboxScope, change: ConfigChange, author: PolicyAuthor): Promise<Uint8Array>;
  findProposal(scope: SandboxScope, proposalId: string): Promise<Proposal | undefined>;
  listProposals(scope: SandboxScope, query: ProposalQuery): Promise<Page<Proposal>>;
  /** Sums up what is on record by destination, without what was refused for other reasons than policy. */
  summarizeDecisions(scope: SandboxScope, selection: DecisionSelection): Promise<readonly DestinationSummary[]>;
  /** Sums up these of the sandbox's decisions, as far as no rule allowed them. Others are not found. */
  summarizeDenied(scope: SandboxScope, decisionIds: readonly string[]): Promise<readonly DestinationSummary[]>;
}
