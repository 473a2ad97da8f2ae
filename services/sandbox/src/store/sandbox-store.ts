import type { SandboxScope } from "@sandgate/identity";
import type { Updatable } from "../domain/apply-update.ts";
import type { Labels } from "../domain/labels.ts";
import type { Phase } from "../domain/phase.ts";
import type { Quota, Usage } from "../domain/quota.ts";
import type { Confinement, MainExit, SandboxRecord, SandboxSpec } from "../domain/sandbox-record.ts";

/** Something to enter into the audit log in the effect's own transaction. Who and where is the store's caller's to say. */
export interface LifecycleEvent {
  /** sandbox.created, sandbox.deleted, … */
  readonly action: string;
  /** SPIFFE id. */
  readonly principal: string;
  /** SPIFFE id, or "none". */
  readonly peer: string;
  readonly details?: Readonly<Record<string, string>>;
}

/** A mutation's request, by which its repetition is known. */
export interface MutationRequest {
  readonly organizationId: string;
  /** The RPC's name. */
  readonly method: string;
  /** A UUID. */
  readonly requestId: string;
  /** SHA-256 of what was asked for. */
  readonly contentHash: Uint8Array;
}

/** What somebody wishes to become of a sandbox. */
export interface WishRequest {
  readonly request: MutationRequest;
  readonly answerOf: (record: SandboxRecord) => Uint8Array;
  /** Recorded where the wish changes anything. */
  readonly event: LifecycleEvent;
  readonly nowMs: number;
}

/** A sandbox as it was after a change. */
export interface SandboxChange {
  /** What an update can change of it, and what the driver lacks, are as they are now. */
  readonly record: SandboxRecord;
  readonly timeMs: number;
  /** Whether there was a further change since. */
  readonly isPast: boolean;
}

/** What was heard of a supervisor. */
export interface HeardSupervisor {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  readonly heardMs: number;
  /** When its sandbox was last active. */
  readonly activeMs: number;
}

/** A sandbox to record. */
export interface NewSandbox {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  readonly ownerUserId: string;
  readonly labels: Labels;
  readonly spec: SandboxSpec;
  /** A sandgate.policy.v1.Policy, encoded. */
  readonly policy: Uint8Array;
  /** A UUID. */
  readonly policyRequestId: string;
  readonly createTimeMs: number;
}

/** Where a page of a list begins: after this sandbox. */
export interface ListPosition {
  readonly createTimeMs: number;
  readonly id: string;
}

/** Stored output, from a byte on. */
export interface LogPiece {
  /** Where `data` begins. */
  readonly offset: bigint;
  readonly data: Uint8Array;
  /** Where the stored output ends. */
  readonly endOffset: bigint;
}

/**
 * What handlers do with stored sandboxes. Whatever touches one sandbox asks for the scope that the call was given.
 * Every change is one transaction, with its audit event in it, and is told to those who listen for it.
 */
export interface SandboxStore {
  /** What was answered to a request the first time; undefined if it never was. Throws REQUEST_ID_REUSED. */
  recallAnswer(request: MutationRequest): Promise<Uint8Array | undefined>;
  /**
   * Records a sandbox, PENDING, and the answer to the request. A repeated request changes nothing and answers as the first time.
   * Throws REQUEST_ID_REUSED when the id was used for another content, SANDBOX_NAME_TAKEN when a living sandbox has the name, and
   * QUOTA_EXCEEDED when the organization would have more than it may, however many ask at the same time.
   */
  create(input: {
    readonly sandbox: NewSandbox;
    readonly request: MutationRequest;
    readonly answerOf: (record: SandboxRecord) => Uint8Array;
    readonly event: LifecycleEvent;
    /** What the organization may have; default: no limits. */
    readonly quota?: Quota;
  }): Promise<Uint8Array>;
  /**
   * Records that a sandbox is to be deleted, and the answer to the request. Deleting twice changes nothing.
   * Throws REQUEST_ID_REUSED, SANDBOX_NOT_FOUND.
   */
  requestDeletion(scope: SandboxScope, input: WishRequest): Promise<Uint8Array>;
  /**
   * Records that a sandbox is to be stopped, and the answer to the request. Stopping one that is over, or is to be stopped, changes nothing.
   * Throws REQUEST_ID_REUSED, SANDBOX_NOT_FOUND, SANDBOX_DELETING.
   */
  requestStop(scope: SandboxScope, input: WishRequest): Promise<Uint8Array>;
  /**
   * Records that a sandbox is to run, and the answer to the request. Starting one that runs, or is to run, changes nothing.
   * Throws REQUEST_ID_REUSED, SANDBOX_NOT_FOUND, SANDBOX_DELETING, SANDBOX_REVOKED, and QUOTA_EXCEEDED as `create` does.
   */
  requestStart(scope: SandboxScope, input: WishRequest & { readonly quota?: Quota }): Promise<Uint8Array>;
  /** What the sandboxes of an organization have together. */
  measureUsage(organizationId: string): Promise<Usage>;
  /**
   * Changes a sandbox to what `apply` makes of it, and records the answer to the request. What `apply` throws is thrown, and changes nothing.
   * Throws REQUEST_ID_REUSED, SANDBOX_NOT_FOUND, SANDBOX_DELETING.
   */
  update(
    scope: SandboxScope,
    input: WishRequest & { readonly apply: (record: SandboxRecord) => Updatable },
  ): Promise<Uint8Array>;
  /** The sandbox, also a DELETED one; undefined if there is none. */
  find(scope: SandboxScope): Promise<SandboxRecord | undefined>;
  /** The changes of a sandbox after a version, of those that are kept, oldest first. None where there is no such sandbox. */
  readChanges(
    scope: SandboxScope,
    query: { readonly afterVersion: bigint; readonly limit: number },
  ): Promise<readonly SandboxChange[]>;
  /** An organization's sandboxes that pass the whole filter, newest first. */
  list(query: {
    readonly organizationId: string;
    readonly phases: readonly Phase[];
    /** All of these, with these values. */
    readonly labels: Labels;
    /** Undefined: anybody's. */
    readonly ownerUserId: string | undefined;
    readonly after: ListPosition | undefined;
    readonly limit: number;
  }): Promise<readonly SandboxRecord[]>;
  /**
   * Records that the supervisor of an incarnation is there, and when it was last active. Undefined when the sandbox has no such incarnation.
   */
  recordSupervisor(
    scope: SandboxScope,
    input: { readonly incarnation: bigint; readonly activeMs: number; readonly nowMs: number },
  ): Promise<SandboxRecord | undefined>;
  /**
   * Records that an incarnation is active, so that it is not ended as idle. Tells nobody. False when it is not the present one any more, or
   * the sandbox is to end.
   */
  recordActivity(
    scope: SandboxScope,
    input: { readonly incarnation: bigint; readonly nowMs: number },
  ): Promise<boolean>;
  /** Records what the start-up probe of an incarnation found. Undefined when the sandbox has no such incarnation. */
  recordConfinement(
    scope: SandboxScope,
    input: {
      readonly incarnation: bigint;
      readonly confinement: Exclude<Confinement, "unproved">;
      readonly event: LifecycleEvent;
      readonly nowMs: number;
    },
  ): Promise<SandboxRecord | undefined>;
  /** Records how the main process ended; the first time counts. Undefined when the sandbox has no such incarnation. */
  recordExit(
    scope: SandboxScope,
    input: {
      readonly incarnation: bigint;
      readonly exit: MainExit;
      readonly event: LifecycleEvent;
      readonly nowMs: number;
    },
  ): Promise<SandboxRecord | undefined>;
  /**
   * Stores output of an incarnation's main process, whose offsets begin at 0. What is stored already is not stored again. Answers up to which
   * byte of the incarnation's output it is durable.
   * Throws SANDBOX_CHANGED for another incarnation, REQUEST_INVALID for a gap.
   */
  appendLog(
    scope: SandboxScope,
    piece: { readonly incarnation: bigint; readonly offset: bigint; readonly data: Uint8Array },
  ): Promise<bigint>;
  /** Stored output from a byte on, at most about `limitBytes` of it; later than asked for when older output was dropped. */
  readLog(scope: SandboxScope, query: { readonly offset: bigint; readonly limitBytes: number }): Promise<LogPiece>;
  /** Where the stored output ends. */
  findLogEnd(scope: SandboxScope): Promise<bigint>;
  /** Where the stored output of the present incarnation ends, counted from its beginning. */
  findOwnLogEnd(scope: SandboxScope): Promise<bigint>;
}

/** What the reconciler does with stored sandboxes. It is given no scope, because it acts for the service itself. */
export interface SandboxLedger {
  /** The sandbox; undefined if there is none. */
  get(sandboxId: string): Promise<SandboxRecord | undefined>;
  /** Every sandbox that is not DELETED. */
  listLiving(): Promise<readonly SandboxRecord[]>;
  /** How many sandboxes are in each phase, of those that are not DELETED; a phase without any is absent. */
  countByPhase(): Promise<ReadonlyMap<Phase, number>>;
  /** Of these ids, those of sandboxes that are not DELETED. */
  selectLiving(sandboxIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** A sandbox's first policy: a sandgate.policy.v1.Policy, encoded. */
  getFirstPolicy(sandboxId: string): Promise<Uint8Array>;
  /**
   * Writes everything of a sandbox that can change, if its version is still the record's; a DELETED one loses its output.
   * Answers the stored record, or undefined when it was changed by someone else.
   */
  replace(
    record: SandboxRecord,
    input: { readonly event: LifecycleEvent | undefined; readonly nowMs: number },
  ): Promise<SandboxRecord | undefined>;
  /**
   * Makes of a STOPPED sandbox its next incarnation, PENDING, if its version is still the record's. Its output goes on behind what there is.
   * Answers the stored record, or undefined when it was changed by someone else.
   */
  beginIncarnation(
    record: SandboxRecord,
    input: { readonly event: LifecycleEvent; readonly nowMs: number },
  ): Promise<SandboxRecord | undefined>;
  /** Records that all sandboxes whose time is over are to be deleted. Answers their ids. */
  expire(input: {
    readonly event: LifecycleEvent;
    readonly nowMs: number;
    readonly limit: number;
  }): Promise<readonly string[]>;
  /**
   * Records that all READY sandboxes which were idle for as long as they may be, when their supervisors were last heard, are to be stopped or
   * deleted, as each says. Answers their ids.
   */
  endIdle(input: {
    readonly event: LifecycleEvent;
    readonly nowMs: number;
    readonly limit: number;
  }): Promise<readonly string[]>;
  /** Records what was heard of supervisors. Tells nobody. */
  touchSupervisors(supervisors: readonly HeardSupervisor[]): Promise<void>;
  /** Forgets answers and DELETED sandboxes that are older than `beforeMs`. */
  prune(beforeMs: number): Promise<void>;
  /**
   * Makes this process the only one that steps a sandbox; undefined if another one does. It ends with `release` or with the
   * process.
   */
  tryLock(sandboxId: string): Promise<SandboxLock | undefined>;
}

/** The right to step one sandbox. */
export interface SandboxLock {
  release(): Promise<void>;
}
