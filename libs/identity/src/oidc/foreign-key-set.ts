import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";

/** The algorithms of other people's tokens that may be configured: signatures with a private key, each pinned by name. */
export const foreignAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

export type ForeignAlgorithm = (typeof foreignAlgorithms)[number];

/** A public key of somebody else, and what it may verify. */
export interface ForeignKey {
  readonly key: KeyObject;
  readonly algorithms: ReadonlySet<ForeignAlgorithm>;
}

/** Public keys by kid. */
export type ForeignKeySet = ReadonlyMap<string, ForeignKey>;

const MAX_KEYS = 100;
const MIN_RSA_BITS = 2048;

/**
 * Reads the keys of a JWK set (RFC 7517) that have a kid, are for signatures and can verify one of these algorithms. Others are left
 * out, and so are private keys and RSA keys below 2048 bits. Throws Error for what is not a JWK set, one with more than 100 keys, and
 * one in which no key is left.
 */
export function readForeignKeySet(jwks: unknown, pinned: readonly ForeignAlgorithm[]): ForeignKeySet {
  const keys = typeof jwks === "object" && jwks !== null && "keys" in jwks ? jwks.keys : undefined;
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) throw new Error("the answer is not a JWK set");
  const found = new Map<string, ForeignKey>();
  for (const jwk of keys) {
    if (!isSignatureKey(jwk)) continue;
    const key = importKey(jwk);
    if (key === undefined) continue;
    const algorithms = new Set(pinned.filter((name) => isForKey(name, jwk, key)));
    if (algorithms.size > 0 && !found.has(jwk.kid)) found.set(jwk.kid, { key, algorithms });
  }
  if (found.size === 0) throw new Error("the JWK set has no key for the configured algorithms");
  return found;
}

type SignatureKey = JsonWebKey & { readonly kid: string };

function isSignatureKey(jwk: unknown): jwk is SignatureKey {
  if (typeof jwk !== "object" || jwk === null || !("kid" in jwk) || typeof jwk.kid !== "string") return false;
  if ("d" in jwk || "k" in jwk) return false;
  if ("use" in jwk && jwk.use !== "sig") return false;
  return !("key_ops" in jwk) || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes("verify"));
}

function importKey(jwk: SignatureKey): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch {
    return undefined; // of a kind that this runtime does not know
  }
}

const curves: Readonly<Record<string, ForeignAlgorithm>> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

function isForKey(algorithm: ForeignAlgorithm, jwk: SignatureKey, key: KeyObject): boolean {
  if (jwk.alg !== undefined && jwk.alg !== algorithm && !(jwk.alg === "Ed25519" && algorithm === "EdDSA")) return false;
  switch (jwk.kty) {
    case "RSA":
      return /^[RP]S/.test(algorithm) && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
    case "EC":
      return curves[jwk.crv ?? ""] === algorithm;
    case "OKP":
      return jwk.crv === "Ed25519" && algorithm === "EdDSA";
    default:
      return false;
  }
}
