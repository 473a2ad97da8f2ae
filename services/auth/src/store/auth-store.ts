import type { SandboxScope, SubjectRegister } from "@sandgate/identity";
import type { EnrolmentDecision, EnrolmentProof } from "../domain/enrolment.ts";
import type { OperatorRecord } from "../domain/operator-record.ts";
import type { Registration, RegistrationDecision } from "../domain/registration.ts";
import type { RejoinDecision } from "../domain/rejoining.ts";
import type { RenewalDecision } from "../domain/renewal.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SessionRecord } from "../domain/session-record.ts";
import type { TrustEvent } from "../domain/trust-change.ts";

/** Who does it, for the audit log. */
export interface Actor {
  /** SPIFFE id, or "anonymous". */
  readonly principal: string;
  /** SPIFFE id, or "none". */
  readonly peer: string;
}

/** What a change came to, and how far the change log must have been told for everyone to know of it. */
export interface Change<Decision> {
  readonly decision: Decision;
  /** The change log's sequence of the change; undefined when nothing changed that others keep. */
  readonly sequence: bigint | undefined;
}

/** The key that an incarnation enrolled with. */
export interface EnrolledKey {
  readonly organizationId: string;
  readonly incarnation: bigint;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Uint8Array;
  readonly keyThumbprint: string;
}

/** What WatchTrust begins with. */
export type TrustOpening =
  | { readonly kind: "snapshot"; readonly sequence: bigint; readonly revocations: readonly TrustEvent[] }
  | { readonly kind: "changes"; readonly sequence: bigint; readonly events: readonly TrustEvent[] };

/**
 * Keeps the register of subjects, their credentials and the change log of trust. Every change is durable, and is in the change
 * log and the audit log, or did not happen. `now` is in milliseconds since the epoch.
 */
export interface AuthStore extends SubjectRegister {
  /** Enters a sandbox or a new incarnation of it; what belonged to the last one is revoked. */
  registerSandbox(
    registration: Registration,
    now: number,
    actor: Actor,
  ): Promise<Change<RegistrationDecision | "inserted" | "name_taken"> & { readonly record: SandboxRecord | undefined }>;

  /** Ends a sandbox and revokes what it holds. */
  retireSandbox(sandboxId: string, now: number, actor: Actor): Promise<Change<"retired" | "unchanged" | "absent">>;

  /** Revokes an incarnation that is over. The sandbox stays in the register. */
  endIncarnation(
    sandboxId: string,
    incarnation: bigint,
    now: number,
    actor: Actor,
  ): Promise<Change<"ended" | "unchanged" | "absent" | "other_incarnation">>;

  /** Puts a bootstrap credential in the place of the last one. */
  replaceBootstrap(
    credential: {
      readonly sandboxId: string;
      readonly incarnation: bigint;
      readonly hash: string;
      readonly expiresAtMs: number;
    },
    actor: Actor,
  ): Promise<{
    readonly decision: "created" | "absent" | "revoked" | "other_incarnation";
    readonly organizationId: string;
  }>;

  /**
   * Consumes a proof and binds the session's key to the incarnation. Sessions of an earlier key are revoked. A pod that has enrolled an
   * incarnation once enrols no other, of whatever sandbox: for those it is "used".
   */
  enrol(
    scope: SandboxScope,
    enrolment: { readonly proof: EnrolmentProof; readonly publicKeyDer: Uint8Array; readonly session: SessionRecord },
    now: number,
    actor: Actor,
  ): Promise<Change<EnrolmentDecision>>;

  /** Supersedes a session by `session`; for "repeat", `session` of the answer is the one that superseded it before. */
  refresh(
    scope: SandboxScope,
    renewal: { readonly tokenId: string; readonly session: SessionRecord },
    now: number,
    actor: Actor,
  ): Promise<Change<RenewalDecision> & { readonly session: SessionRecord }>;

  /** The key that a sandbox's current incarnation enrolled with; undefined when there is no such sandbox or it has none. */
  findEnrolledKey(sandboxId: string): Promise<EnrolledKey | undefined>;

  /** Gives the holder of a proven key a session in the place of all that it had. A count that was seen before revokes the incarnation. */
  rejoin(
    rejoin: { readonly rejoinCount: bigint; readonly session: SessionRecord },
    now: number,
    actor: Actor,
  ): Promise<Change<RejoinDecision>>;

  /** Revokes the sandbox's current incarnation. */
  revokeSandbox(
    scope: SandboxScope,
    reason: string,
    now: number,
    actor: Actor,
  ): Promise<Change<"revoked" | "unchanged" | "absent">>;

  /** The ids of all living sandboxes. */
  listLivingSandboxIds(): Promise<readonly string[]>;

  /** Makes the users of the configuration what it says; those that it no longer names are switched off. */
  replaceOperators(operators: readonly OperatorRecord[], now: number, actor: Actor): Promise<void>;

  /** Where WatchTrust begins for a consumer that knows everything up to `afterSequence` (0: nothing). */
  openTrust(afterSequence: bigint, now: number): Promise<TrustOpening>;

  /** The next changes after a sequence, oldest first, and the sequence of the last change that there is. */
  readTrust(afterSequence: bigint): Promise<{ readonly head: bigint; readonly events: readonly TrustEvent[] }>;

  /** Forgets sessions and changes that nothing can depend on any more. */
  prune(now: number): Promise<void>;
}
