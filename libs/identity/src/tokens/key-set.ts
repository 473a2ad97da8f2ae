import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { keyThumbprint } from "@sandgate/pki";
import type { TokenAlgorithm } from "./token-kind.ts";

const MAX_KEYS = 100;

/** A public key that our tokens verify with. */
export interface VerificationKey {
  readonly kid: string;
  readonly algorithm: TokenAlgorithm;
  readonly key: KeyObject;
}

/** The public keys that our tokens verify with, by kid. */
export interface KeySet {
  find(kid: string): VerificationKey | undefined;
}

/**
 * Reads a JWK set (RFC 7517, JSON) of Ed25519 and P-256 public keys; keys of other types are not ours and are left out. Throws
 * TypeError for what is not a JWK set, for a private key, and for a kid that is not the key's RFC 7638 thumbprint.
 */
export function createKeySet(jwksJson: string): KeySet {
  const found = readKeySet(parseJson(jwksJson));
  return { find: (kid) => found.get(kid) };
}

/** The keys of a JWK set by kid; reads and refuses as `createKeySet` does, and refuses more than 100 keys. */
export function readKeySet(jwks: unknown): ReadonlyMap<string, VerificationKey> {
  const found = new Map<string, VerificationKey>();
  for (const jwk of keysOf(jwks)) {
    const algorithm = algorithmOfJwk(jwk);
    if (algorithm === undefined) continue;
    if ("d" in jwk) throw new TypeError("a private key in a set of public keys");
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const kid = keyThumbprint(key);
    if (jwk.kid !== kid) throw new TypeError("a key whose kid is not its thumbprint");
    found.set(kid, { kid, algorithm, key });
  }
  return found;
}

/** The JWK set, JSON, of Ed25519, P-256 and RSA public keys (S0-01, RFC 7517), in the order given. */
export function formatJwks(keys: readonly KeyObject[]): string {
  return JSON.stringify({
    keys: keys.map((key) => {
      const { kty, crv, x, y, n, e } = key.export({ format: "jwk" });
      const algorithm = kty === "RSA" ? "RS256" : algorithmOfJwk({ kty, crv });
      if (algorithm === undefined) throw new TypeError("a key that signs no token of ours");
      const material = kty === "RSA" ? { kty, n, e } : { kty, crv, x, ...(y === undefined ? {} : { y }) };
      return { ...material, use: "sig", alg: algorithm, kid: keyThumbprint(key) };
    }),
  });
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new TypeError("not a JWK set", { cause });
  }
}

function keysOf(jwks: unknown): readonly (JsonWebKey & { readonly kid?: unknown })[] {
  const keys = typeof jwks === "object" && jwks !== null && "keys" in jwks ? jwks.keys : undefined;
  if (!Array.isArray(keys) || keys.length > MAX_KEYS || !keys.every((key) => typeof key === "object" && key !== null))
    throw new TypeError("not a JWK set");
  return keys;
}

function algorithmOfJwk({ kty, crv }: { kty?: unknown; crv?: unknown }): TokenAlgorithm | undefined {
  if (kty === "OKP" && crv === "Ed25519") return "EdDSA";
  if (kty === "EC" && crv === "P-256") return "ES256";
  return undefined;
}
