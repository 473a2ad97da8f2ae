import type { KeySet } from "./key-set.ts";
import { hasExpired } from "./read-claims.ts";
import type { PresenterProof } from "./token-binding.ts";
import type { ClaimsByKind } from "./token-claims.ts";
import type { TokenKind } from "./token-kind.ts";
import { type TokenVerification, verifyToken } from "./verify-token.ts";

const MAX_CACHE_MS = 60_000;

interface Entry<C> {
  readonly verification: TokenVerification<C>;
  readonly proof: PresenterProof;
  readonly expiresAtMs: number;
  readonly cachedUntilMs: number;
}

/**
 * Verifies tokens of one kind and remembers the good ones for at most 60 seconds, each with the key of the certificate that it came
 * with: the same token from another certificate is verified anew. Expiry is checked at every call; revocation is the caller's matter.
 */
export class TokenVerifier<K extends TokenKind> {
  readonly #kind: K;
  readonly #trustDomain: string;
  readonly #audience: string | undefined;
  readonly #keys: KeySet;
  readonly #clock: () => number;
  readonly #maxEntries: number;
  #entries = new Map<string, Entry<ClaimsByKind[K]>>();

  constructor(options: {
    readonly kind: K;
    readonly trustDomain: string;
    /** The relying party that asks; default: the kind's own. */
    readonly audience?: string | undefined;
    readonly keys: KeySet;
    readonly clock: () => number;
    /** The oldest is forgotten when there are more; default 20,000. */
    readonly maxEntries?: number;
  }) {
    this.#kind = options.kind;
    this.#trustDomain = options.trustDomain;
    this.#audience = options.audience;
    this.#keys = options.keys;
    this.#clock = options.clock;
    this.#maxEntries = options.maxEntries ?? 20_000;
  }

  /**
   * Verifies a token that came over a connection with this certificate's key, and this certificate (undefined: with none).
   * Answers at once on a hit.
   */
  verify(
    token: string,
    keyThumbprint: string | undefined,
    certificateSha256?: string,
  ): TokenVerification<ClaimsByKind[K]> | Promise<TokenVerification<ClaimsByKind[K]>> {
    const entry = this.#entries.get(token);
    if (
      entry !== undefined &&
      entry.proof.keyThumbprint === keyThumbprint &&
      entry.proof.certificateSha256 === certificateSha256
    ) {
      const now = this.#clock();
      if (hasExpired(entry.expiresAtMs, now)) {
        this.#entries.delete(token);
        return { outcome: "rejected", fault: "expired", detail: "expired" };
      }
      if (now < entry.cachedUntilMs) return entry.verification;
    }
    return this.#verifyAndRemember(token, { keyThumbprint, certificateSha256 });
  }

  /** Forgets every verified token: call it when a key or a certificate stops being trusted. */
  bumpEpoch(): void {
    this.#entries = new Map();
  }

  async #verifyAndRemember(token: string, proof: PresenterProof): Promise<TokenVerification<ClaimsByKind[K]>> {
    const entries = this.#entries; // a verification that began in one epoch is not remembered in the next
    const now = this.#clock();
    const verification = await verifyToken(this.#kind, token, {
      keys: this.#keys,
      trustDomain: this.#trustDomain,
      audience: this.#audience,
      now,
      ...proof,
    });
    if (verification.outcome !== "verified") return verification;
    const { expiresAtMs } = verification.claims;
    entries.delete(token);
    entries.set(token, { verification, proof, expiresAtMs, cachedUntilMs: now + MAX_CACHE_MS });
    if (entries.size > this.#maxEntries) {
      const oldest = entries.keys().next();
      if (!oldest.done) entries.delete(oldest.value);
    }
    return verification;
  }
}
