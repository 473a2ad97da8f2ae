import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";

/** The RFC 7638 thumbprint (SHA-256, base64url) of a public JWK. Throws TypeError for a key that is not EC, OKP or RSA. */
export function jwkThumbprint(jwk: JsonWebKey): string {
  return createHash("sha256").update(canonicalJwk(jwk)).digest("base64url");
}

/** The RFC 7638 thumbprint of a public key, or of a private key's public half. */
export function keyThumbprint(key: KeyObject): string {
  return jwkThumbprint((key.type === "private" ? createPublicKey(key) : key).export({ format: "jwk" }));
}

function canonicalJwk({ kty, crv, x, y, e, n }: JsonWebKey): string {
  if (kty === "EC" && crv !== undefined && x !== undefined && y !== undefined)
    return JSON.stringify({ crv, kty, x, y });
  if (kty === "OKP" && crv !== undefined && x !== undefined) return JSON.stringify({ crv, kty, x });
  if (kty === "RSA" && e !== undefined && n !== undefined) return JSON.stringify({ e, kty, n });
  throw new TypeError("a key without a thumbprint");
}
