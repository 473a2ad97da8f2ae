import type { KeyObject } from "node:crypto";
import { keyThumbprint } from "@sandgate/pki";
import { CompactSign } from "jose";
import { canonicalP256Signature } from "./ecdsa-signature.ts";
import type { TokenAlgorithm } from "./token-kind.ts";

/** Signs tokens with one private key. */
export interface TokenSigner {
  /** RFC 7638 thumbprint of the key. */
  readonly kid: string;
  readonly algorithm: TokenAlgorithm;
  /** A compact JWS of the claims. With EdDSA the same claims give the same token. */
  sign(type: string, claims: Readonly<Record<string, unknown>>): Promise<string>;
}

/** A signer for an Ed25519 or P-256 private key. Throws TypeError for any other. */
export function createTokenSigner(privateKey: KeyObject): TokenSigner {
  const algorithm = algorithmOf(privateKey);
  const kid = keyThumbprint(privateKey);
  return {
    kid,
    algorithm,
    sign: async (type, claims) => {
      const token = await new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ typ: type, alg: algorithm, kid })
        .sign(privateKey);
      return algorithm === "ES256" ? withCanonicalSignature(token) : token;
    },
  };
}

function withCanonicalSignature(token: string): string {
  const start = token.lastIndexOf(".") + 1;
  const signature = Buffer.from(token.slice(start), "base64url");
  return token.slice(0, start) + Buffer.from(canonicalP256Signature(signature)).toString("base64url");
}

function algorithmOf(key: KeyObject): TokenAlgorithm {
  if (key.type === "private" && key.asymmetricKeyType === "ed25519") return "EdDSA";
  if (key.type === "private" && key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1")
    return "ES256";
  throw new TypeError("a key that cannot sign tokens");
}
