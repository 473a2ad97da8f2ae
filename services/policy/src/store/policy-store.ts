import type { Enforcement, PolicyRevision, Verdict } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import type { DecisionRecord } from "../domain/decision-record.ts";
import type { DecisionContext } from "../messages/explain-decision.ts";
import type { PolicyChange } from "../messages/policy-change.ts";

/** Who changes a policy, for the revision and the audit log. */
export interface PolicyAuthor {
  /** SPIFFE id of the principal. */
  readonly principal: string;
  /** SPIFFE id of the peer whose connection carried the call, or "none". */
  readonly peer: string;
}

/** A sandbox's policy and how far it is enforced. */
export interface PolicyState {
  readonly revision: PolicyRevision;
  readonly enforcement: Enforcement;
}

/** A part of a list, and whether there is more behind it. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly more: boolean;
}

/** What changed of all policies after some version, oldest change first, each sandbox once with its newest state. */
export interface PolicyChanges {
  /** The last of these changes; the version that was asked for if there is none. */
  readonly version: bigint;
  readonly upserted: readonly PolicyRevision[];
  readonly removedSandboxIds: readonly string[];
  /** Whether there are further changes to read after `version`. */
  readonly more: boolean;
}

/** What changed of a list that is read by position. */
export interface PositionedChanges<T> {
  /** The last of these changes; the position that was asked for if there is none. */
  readonly position: bigint;
  readonly items: readonly T[];
  readonly more: boolean;
}

/** A proxy's report of decisions. */
export interface DecisionReport {
  readonly proxyRunId: string;
  readonly firstSequence: bigint;
  readonly decisions: readonly DecisionRecord[];
  /** So many were dropped before the first. */
  readonly dropped: bigint;
}

/** Which decisions a page has. */
export interface DecisionQuery {
  /** Empty: all. */
  readonly verdicts: readonly Verdict[];
  readonly pageSize: number;
  /** The last decision of the page before; undefined for the first page. */
  readonly before: { readonly timeUs: bigint; readonly decisionId: string } | undefined;
}

/** What one step of removing old rows did. */
export interface PruneResult {
  readonly decisions: number;
  readonly requests: number;
  /** Rejected and undone ones. */
  readonly proposals: number;
  readonly proxyRuns: number;
  /** Whether there may be more to remove. */
  readonly more: boolean;
}

/**
 * Keeps policies, what of them is enforced, and decisions. Every change is announced to the change feeds of all replicas
 * once it is committed. What is one sandbox's own is reached with a SandboxScope, or within an organization; the rest is for services.
 */
export interface PolicyStore {
  /**
   * Stores the next revision, its audit event and the answer to its request id, all or nothing.
   * A repeated request id returns the first answer and changes nothing.
   * Throws REQUEST_ID_REUSED, POLICY_REVISION_STALE, and SANDBOX_NOT_FOUND for a retired sandbox.
   */
  setPolicy(scope: SandboxScope, change: PolicyChange, author: PolicyAuthor): Promise<PolicyRevision>;
  /** The newest revision, or a given one, and the sandbox's enforcement; undefined if there is no such revision. */
  findPolicy(scope: SandboxScope, revision?: bigint): Promise<PolicyState | undefined>;
  /** Whether the sandbox was retired. */
  isRetired(scope: SandboxScope): Promise<boolean>;
  /** Revisions below `before` (undefined: all), newest first. A page also ends after 1 MiB of policies. */
  listRevisions(scope: SandboxScope, pageSize: number, before: bigint | undefined): Promise<Page<PolicyRevision>>;

  /** Ids of sandboxes that have a policy and were not retired, above `after`, in order, at most 1000. */
  listLiving(after: string): Promise<readonly string[]>;
  /** Takes sandboxes out of what is pushed, for good. Unknown and retired ones are passed over. */
  retire(sandboxIds: readonly string[]): Promise<void>;

  /** How far the changes of policies have come. */
  findPolicyVersion(): Promise<bigint>;
  /** The changes after a version. After 0, retired sandboxes are left out. A page also ends after 1 MiB of policies. */
  readPolicyChanges(after: bigint): Promise<PolicyChanges>;

  /** Takes note of what proxies enforce. Sandboxes and revisions that are not known, or retired, are passed over. */
  saveEnforcements(enforcements: readonly Enforcement[]): Promise<void>;
  /** Enforcements of living sandboxes that changed after a position, at most 1000. */
  readEnforcementChanges(after: bigint): Promise<PositionedChanges<Enforcement>>;

  /**
   * Stores what is new in a report and returns how far the run has now reported. A decision that is stored already takes the
   * reported state. Decisions of unknown sandboxes, and new ones of retired sandboxes, are passed over.
   * Throws DECISION_SEQUENCE_INVALID for a gap that the report does not account for.
   */
  storeDecisions(report: DecisionReport): Promise<bigint>;
  /** Decisions, newest first. */
  listDecisions(scope: SandboxScope, query: DecisionQuery): Promise<Page<DecisionRecord>>;
  /** A decision of a sandbox of the organization, also of one that is gone, with the policies around it; undefined if none is kept. */
  findDecision(organizationId: string, decisionId: string): Promise<DecisionContext | undefined>;
  /** How far the changes of decisions have come. */
  findDecisionPosition(): Promise<bigint>;
  /** The sandbox's decisions that were stored or changed after a position, at most 500. */
  readDecisionChanges(scope: SandboxScope, after: bigint): Promise<PositionedChanges<DecisionRecord>>;

  /** Removes decisions, answers to request ids, proposals that were rejected or undone, and proxy runs from before a moment (milliseconds since the epoch), 5000 of each. */
  prune(beforeMs: number): Promise<PruneResult>;
}
