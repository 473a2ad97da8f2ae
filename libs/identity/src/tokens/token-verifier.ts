import { hash } from "node:crypto";
import type { KeySet } from "./key-set.ts";
import { hasExpired } from "./read-claims.ts";
import { isBoundTo } from "./token-binding.ts";
import type { ClaimsByKind } from "./token-claims.ts";
import type { TokenKind } from "./token-kind.ts";
import { MAX_TOKEN_LENGTH, type TokenVerification, verifyToken } from "./verify-token.ts";

const MAX_CACHE_MS = 60_000;

/** As little as can be: there may be very many. */
interface Entry<C> {
  readonly claims: C;
  readonly keyId: string;
  readonly verifiedAtMs: number;
}

/**
 * Verifies tokens of one kind and remembers the good ones for at most 60 seconds, by hash. Expiry, and that the token is bound to
 * the certificate that it came with, are checked at every call; revocation is the caller's matter.
 */
export class TokenVerifier<K extends TokenKind> {
  readonly #kind: K;
  readonly #trustDomain: string;
  readonly #audience: string | undefined;
  readonly #keys: KeySet;
  readonly #clock: () => number;
  readonly #maxEntries: number;
  /** In the order in which they were verified. */
  #entries = new Map<string, Entry<ClaimsByKind[K]>>();

  constructor(options: {
    readonly kind: K;
    readonly trustDomain: string;
    /** The relying party that asks; default: the kind's own. */
    readonly audience?: string | undefined;
    readonly keys: KeySet;
    readonly clock: () => number;
    /** The oldest is forgotten when there are more; default 60,000, about 35 MB. */
    readonly maxEntries?: number;
  }) {
    this.#kind = options.kind;
    this.#trustDomain = options.trustDomain;
    this.#audience = options.audience;
    this.#keys = options.keys;
    this.#clock = options.clock;
    this.#maxEntries = options.maxEntries ?? 60_000;
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
    return (
      this.recall(token, keyThumbprint, certificateSha256) ??
      this.#verifyAndRemember(token, { keyThumbprint, certificateSha256 })
    );
  }

  /** What `verify` would answer at once; undefined for a token that has to be verified. */
  recall(
    token: string,
    keyThumbprint: string | undefined,
    certificateSha256?: string,
  ): TokenVerification<ClaimsByKind[K]> | undefined {
    if (this.#entries.size === 0 || token.length > MAX_TOKEN_LENGTH) return undefined;
    const entry = this.#entries.get(hashOf(token));
    if (entry === undefined) return undefined;
    const now = this.#clock();
    // a clock that was put back makes nothing last longer
    if (now < entry.verifiedAtMs || now >= entry.verifiedAtMs + MAX_CACHE_MS) return undefined;
    const { claims, keyId } = entry;
    if (hasExpired(claims.expiresAtMs, now)) return { outcome: "rejected", fault: "expired", detail: "expired" };
    return isBoundTo(claims, { keyThumbprint, certificateSha256 }) ? { outcome: "verified", claims, keyId } : undefined;
  }

  /** Forgets every verified token: call it when a key or a certificate stops being trusted. */
  bumpEpoch(): void {
    this.#entries = new Map();
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  async #verifyAndRemember(
    token: string,
    proof: { readonly keyThumbprint: string | undefined; readonly certificateSha256: string | undefined },
  ): Promise<TokenVerification<ClaimsByKind[K]>> {
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
    const key = hashOf(token);
    entries.delete(key);
    entries.set(key, { claims: verification.claims, keyId: verification.keyId, verifiedAtMs: now });
    for (const [oldest, { verifiedAtMs }] of entries) {
      const isPast = now >= verifiedAtMs + MAX_CACHE_MS || now < verifiedAtMs;
      if (!isPast && entries.size <= this.#maxEntries) break;
      entries.delete(oldest);
    }
    return verification;
  }
}

function hashOf(token: string): string {
  return hash("sha256", token, "binary");
}
