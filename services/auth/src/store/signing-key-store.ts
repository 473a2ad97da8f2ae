import type { SigningKeyRecord } from "../domain/signing-key.ts";
import type { Actor, Change } from "./auth-store.ts";

/** A key pair that is not in the store yet. */
export type NewSigningKey = Pick<SigningKeyRecord, "kid" | "algorithm" | "publicKeyDer"> & {
  readonly sealedKey: Uint8Array;
};

/** Who does it, and for which organization's audit log; empty for what the service does by itself. */
export interface KeyActor extends Actor {
  readonly organizationId: string;
}

/**
 * Keeps the key pairs that tokens are signed with. Replicas agree by it: every change is made by one of them at a time, is durable, and is
 * in the change log of trust and in the audit log, or did not happen. `now` is in milliseconds since the epoch.
 */
export interface SigningKeyStore {
  /** Every key that there is or was. */
  list(): Promise<readonly SigningKeyRecord[]>;

  /**
   * Sees to it that each algorithm has a key that signs and one that waits. Where no key of an algorithm ever was, the given first one
   * is taken.
   */
  ensure(
    algorithms: readonly { readonly algorithm: string; readonly first: NewSigningKey | undefined }[],
    now: number,
    actor: KeyActor,
  ): Promise<void>;

  /** Has the waiting keys of the algorithms sign, as `planRotation` says, and puts new ones into their place. */
  rotate(
    rotation: { readonly algorithms: readonly string[]; readonly minimumAgeMs: number },
    now: number,
    actor: KeyActor,
  ): Promise<Change<"rotated" | "unchanged">>;

  /** Revokes a key with all that it signed; where it was signing, the next one signs from now on. */
  revoke(
    kid: string,
    reason: string,
    now: number,
    actor: KeyActor,
  ): Promise<Change<"revoked" | "unchanged" | "absent">>;

  /** Seals every private half anew with what `seal` answers, all or none. Answers how many. */
  reseal(seal: (kid: string, sealedKey: Uint8Array) => Uint8Array, actor: KeyActor): Promise<number>;

  /** Takes the previous keys of which nothing can be valid any more out of the published ones. */
  retire(now: number, actor: KeyActor): Promise<Change<"retired" | "unchanged">>;
}
