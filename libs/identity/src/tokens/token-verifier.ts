import { hash } from "node:crypto";
import type { KeySet } from "./key-set.ts";
import { type ClaimsPacker, createClaimsPacker } from "./packed-claims.ts";
import { hasExpired } from "./read-claims.ts";
import { isBoundTo } from "./token-binding.ts";
import type { ClaimsByKind } from "./token-claims.ts";
import type { TokenKind } from "./token-kind.ts";
import { MAX_TOKEN_LENGTH, type TokenVerification, verifyToken } from "./verify-token.ts";

const MAX_CACHE_MS = 60_000;

/** What stands before the claims of an entry: when it was verified, and which key signed it. */
const NOTES = 2;

/** A good token as it was verified. */
interface Latest<C> {
  readonly token: string;
  readonly verifiedAtMs: unknown;
  readonly verified: { readonly outcome: "verified"; readonly claims: C; readonly keyId: string };
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
  readonly #packer: ClaimsPacker<ClaimsByKind[K]>;
  /** By all 256 bits of the token's hash, in the order in which they were verified; packed, because there may be very many. */
  #entries = new Map<string, string>();
  #keyIds: string[] = [];
  /** The last good token of each origin, which seldom brings another: it needs neither hash nor unpacking. */
  #latest = new WeakMap<object, Latest<ClaimsByKind[K]>>();

  constructor(options: {
    readonly kind: K;
    readonly trustDomain: string;
    /** The relying party that asks; default: the kind's own. */
    readonly audience?: string | undefined;
    readonly keys: KeySet;
    readonly clock: () => number;
    /** The oldest is forgotten when there are more; default 100,000, about 31 MB. */
    readonly maxEntries?: number;
  }) {
    this.#kind = options.kind;
    this.#trustDomain = options.trustDomain;
    this.#audience = options.audience;
    this.#keys = options.keys;
    this.#clock = options.clock;
    this.#maxEntries = options.maxEntries ?? 100_000;
    this.#packer = createClaimsPacker(options.kind);
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

  /**
   * What `verify` would answer at once; undefined for a token that has to be verified. `origin` is what mostly brings the same token
   * again: its connection.
   */
  recall(
    token: string,
    keyThumbprint: string | undefined,
    certificateSha256?: string,
    origin?: object,
  ): TokenVerification<ClaimsByKind[K]> | undefined {
    if (this.#entries.size === 0 || token.length > MAX_TOKEN_LENGTH) return undefined;
    const latest = origin === undefined ? undefined : this.#latest.get(origin);
    const known = latest?.token === token ? latest : this.#unpack(token);
    if (known === undefined) return undefined;
    const { verifiedAtMs, verified } = known;
    const now = this.#clock();
    if (!isFresh(verifiedAtMs, now)) return undefined;
    if (hasExpired(verified.claims.expiresAtMs, now))
      return { outcome: "rejected", fault: "expired", detail: "expired" };
    if (!isBoundTo(verified.claims, { keyThumbprint, certificateSha256 })) return undefined;
    if (origin !== undefined && known !== latest) this.#latest.set(origin, known);
    return verified;
  }

  /** Forgets every verified token: call it when a key or a certificate stops being trusted. */
  bumpEpoch(): void {
    this.#entries = new Map();
    this.#keyIds = [];
    this.#latest = new WeakMap();
  }

  /** How many tokens are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  #unpack(token: string): Latest<ClaimsByKind[K]> | undefined {
    const entry = this.#entries.get(hashOf(token));
    if (entry === undefined) return undefined;
    const values = this.#packer.unpack(entry);
    const keyId = this.#keyIds[Number(values[1])];
    if (keyId === undefined) return undefined;
    const claims = this.#packer.claimsOf(values, NOTES);
    return { token, verifiedAtMs: values[0], verified: { outcome: "verified", claims, keyId } };
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
    if (entries === this.#entries) this.#remember(hashOf(token), verification, now);
    return verification;
  }

  #remember(hash: string, verified: { readonly claims: ClaimsByKind[K]; readonly keyId: string }, now: number): void {
    const entries = this.#entries;
    if (!this.#keyIds.includes(verified.keyId)) this.#keyIds.push(verified.keyId);
    entries.delete(hash);
    entries.set(hash, this.#packer.pack([now, this.#keyIds.indexOf(verified.keyId)], verified.claims));
    for (const [oldest, entry] of entries) {
      if (entries.size <= this.#maxEntries && isFresh(this.#packer.unpack(entry)[0], now)) break;
      entries.delete(oldest);
    }
  }
}

/** A clock that was put back makes nothing last longer. */
function isFresh(verifiedAtMs: unknown, now: number): boolean {
  return typeof verifiedAtMs === "number" && now >= verifiedAtMs && now < verifiedAtMs + MAX_CACHE_MS;
}

function hashOf(token: string): string {
  return hash("sha256", token, "binary");
}
