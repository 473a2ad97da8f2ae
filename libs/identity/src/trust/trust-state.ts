import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Revocation, RevocationKind, type SandboxSubject, type WatchTrustResponse } from "@sandgate/api/auth";
import { createKeySet, type KeySet, type VerificationKey } from "../tokens/index.ts";

/** A consumer that has heard nothing for this long accepts no credential. */
const trustStaleMs = 10_000;

/** Something that a stream or a cache depends on, and that can be revoked. */
export type TrustSubject =
  | `sandbox:${string}`
  | `user:${string}`
  | `token:${string}`
  | `certificate:${string}`
  | `key:${string}`
  | `session:${string}`;

/**
 * What is trusted and what is revoked at this moment, as Auth's trust stream has told. It knows nothing by itself: without
 * a current stream it says so, and then nothing may be accepted.
 */
export class TrustState implements KeySet {
  readonly #clock: () => number;
  readonly #watchers = new Map<TrustSubject, Set<() => void>>();
  readonly #changeListeners = new Set<(change: WatchTrustResponse) => void>();
  /** By kind, then by subject: asked several times in every call. */
  readonly #revoked = new Map<RevocationKind, Map<string, Revocation>>();
  #keys: KeySet = createKeySet('{"keys":[]}');
  #heardAt = Number.NEGATIVE_INFINITY;
  #sequence = 0n;

  constructor(options: { clock: () => number }) {
    this.#clock = options.clock;
  }

  /** The last sequence that was applied: from where to go on after a reconnect. */
  get sequence(): bigint {
    return this.#sequence;
  }
  /** The signing key of that kid; undefined when there is none or it is revoked. */
  find(kid: string): VerificationKey | undefined {
    return this.isKeyRevoked(kid) ? undefined : this.#keys.find(kid);
  }
  /** Whether the stream has been heard within the last 10 s. */
  isCurrent(): boolean {
    const now = this.#clock();
    if (now < this.#heardAt) this.#heardAt = now; // a clock that was put back makes nothing last longer than the 10 s
    return now - this.#heardAt <= trustStaleMs;
  }

  isTokenRevoked(tokenId: string): boolean {
    return this.#has(RevocationKind.TOKEN, tokenId);
  }
  /** Whether a refresh has replaced the token: good for nothing but the same refresh again (G-13). */
  isTokenSuperseded(tokenId: string): boolean {
    return this.#has(RevocationKind.SUPERSEDED_TOKEN, tokenId);
  }
  /** Whether a user's login session or API key has ended. */
  isSessionEnded(sessionId: string): boolean {
    return this.#has(RevocationKind.USER_SESSION, sessionId);
  }
  isIncarnationRevoked(sandboxId: string, incarnation: bigint): boolean {
    return (
      this.#has(RevocationKind.SANDBOX, sandboxId) ||
      this.#revoked.get(RevocationKind.INCARNATION)?.has(`${sandboxId}/${incarnation}`) === true
    );
  }
  /** Whether everything that a signing key has signed is revoked. */
  isKeyRevoked(kid: string): boolean {
    return this.#has(RevocationKind.SIGNING_KEY, kid);
  }
  isCertificateRevoked(sha256: string): boolean {
    return this.#has(RevocationKind.CERTIFICATE, sha256);
  }
  /** Whether a user's session that was issued then (milliseconds) is revoked. */
  isUserSessionRevoked(userId: string, issuedAt: number): boolean {
    const revocation = this.#revoked.get(RevocationKind.USER)?.get(userId);
    return revocation?.issuedBefore !== undefined && issuedAt < timestampMs(revocation.issuedBefore);
  }

  /** Takes in one message of the trust stream. */
  apply(change: WatchTrustResponse): void {
    this.#heardAt = this.#clock();
    const what = change.change;
    switch (what.case) {
      case "heartbeat":
      case undefined:
        return;
      case "snapshot":
        this.#revoked.clear();
        for (const revocation of what.value.revocations) this.#revoke(revocation);
        this.#keys = createKeySet(what.value.signingKeys?.jwksJson ?? '{"keys":[]}');
        break;
      case "revocation":
        this.#revoke(what.value);
        break;
      case "signingKeys":
        this.#keys = createKeySet(what.value.jwksJson);
        break;
      case "sandbox":
        if (!isTrusted(what.value)) this.#notify(`sandbox:${what.value.sandboxId}`);
        break;
      case "user":
        // whatever it is now, perhaps with another role: streams are opened anew under that
        this.#notify(`user:${what.value.userId}`);
        break;
    }
    this.#sequence = change.sequence;
    this.#forgetExpired();
    for (const listener of this.#changeListeners) listener(change);
  }

  /** Calls `onRevoked` once when any of the subjects is revoked. Answers how to stop watching. */
  watch(subjects: readonly TrustSubject[], onRevoked: () => void): () => void {
    for (const subject of subjects) {
      const watchers = this.#watchers.get(subject) ?? new Set();
      watchers.add(onRevoked);
      this.#watchers.set(subject, watchers);
    }
    return () => {
      for (const subject of subjects) {
        const watchers = this.#watchers.get(subject);
        watchers?.delete(onRevoked);
        if (watchers?.size === 0) this.#watchers.delete(subject);
      }
    };
  }

  /** Calls `listener` when what was verified before must be verified again: the signing keys are others. */
  onKeysChange(listener: () => void): void {
    this.onChange(({ change }) => {
      const isKeyRevoked = change.case === "revocation" && change.value.kind === RevocationKind.SIGNING_KEY;
      if (isKeyRevoked || change.case === "snapshot" || change.case === "signingKeys") listener();
    });
  }

  /** Calls `listener` after every change that is not a heartbeat. Answers how to stop. */
  onChange(listener: (change: WatchTrustResponse) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  #has(kind: RevocationKind, subject: string): boolean {
    return this.#revoked.get(kind)?.has(subject) === true;
  }

  #revoke(revocation: Revocation): void {
    const ofKind = this.#revoked.get(revocation.kind) ?? new Map<string, Revocation>();
    this.#revoked.set(revocation.kind, ofKind.set(revocation.subject, revocation));
    switch (revocation.kind) {
      case RevocationKind.TOKEN:
        this.#notify(`token:${revocation.subject}`);
        return;
      case RevocationKind.INCARNATION:
        this.#notify(`sandbox:${revocation.subject.slice(0, revocation.subject.indexOf("/"))}`);
        return;
      case RevocationKind.SANDBOX:
        this.#notify(`sandbox:${revocation.subject}`);
        return;
      case RevocationKind.USER:
        this.#notify(`user:${revocation.subject}`);
        return;
      case RevocationKind.USER_SESSION:
        this.#notify(`session:${revocation.subject}`);
        return;
      case RevocationKind.CERTIFICATE:
        this.#notify(`certificate:${revocation.subject}`);
        return;
      case RevocationKind.SIGNING_KEY:
        this.#notify(`key:${revocation.subject}`);
        return;
      case RevocationKind.SUPERSEDED_TOKEN: // open streams go on under the successor
      case RevocationKind.UNSPECIFIED:
        return;
    }
  }

  #notify(subject: TrustSubject): void {
    for (const watcher of [...(this.#watchers.get(subject) ?? [])]) watcher();
  }

  #forgetExpired(): void {
    if (this.#sequence % 100n !== 0n) return;
    const now = this.#clock();
    for (const ofKind of this.#revoked.values())
      for (const [subject, { expireTime }] of ofKind)
        if (expireTime !== undefined && timestampMs(expireTime) < now) ofKind.delete(subject);
  }
}

/** Whether a sandbox may act: alive, and its incarnation not revoked. */
export function isTrusted(subject: SandboxSubject): boolean {
  return subject.alive && subject.trusted;
}
