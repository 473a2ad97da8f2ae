import type { KeyObject } from "node:crypto";
import { formatSpiffeId, keyThumbprint } from "@sandgate/pki";
import { CompactSign } from "jose";
import { tokenIssuer, tokenRules } from "./token-kind.ts";

/** The signature algorithms of tokens for third parties. */
export type WorkloadAlgorithm = "ES256" | "RS256";

/** The longest life of a token for third parties. */
export const MAX_WORKLOAD_TOKEN_LIFE_MS = 300_000;

/** Signs tokens for third parties with a private key that signs nothing else. */
export interface WorkloadSigner {
  /** RFC 7638 thumbprint of the key. */
  readonly kid: string;
  readonly algorithm: WorkloadAlgorithm;
  readonly privateKey: KeyObject;
}

/** What a token for a third party says. */
export interface WorkloadClaims {
  readonly sandboxId: string;
  /** The one `aud`. */
  readonly audience: string;
  /** The `jti`. */
  readonly tokenId: string;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** A signer for a P-256 private key, or an RSA one of at least 2048 bits. Throws TypeError for any other. */
export function createWorkloadSigner(privateKey: KeyObject): WorkloadSigner {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = privateKey;
  const isP256 = type === "ec" && details?.namedCurve === "prime256v1";
  if (privateKey.type !== "private" || !(isP256 || (type === "rsa" && (details?.modulusLength ?? 0) >= 2048)))
    throw new TypeError("a key that cannot sign tokens for third parties");
  return { kid: keyThumbprint(privateKey), algorithm: isP256 ? "ES256" : "RS256", privateKey };
}

/**
 * A JWT-SVID (SPIFFE): the sandbox's SPIFFE id for one audience. Whoever trusts our issuer checks it by our discovery document and key
 * set; no verifier of ours does. Throws RangeError for a life that is longer than five minutes or no life, and for an audience of ours.
 */
export async function mintWorkloadToken(options: {
  readonly signer: WorkloadSigner;
  readonly trustDomain: string;
  readonly claims: WorkloadClaims;
}): Promise<string> {
  const { signer, trustDomain, claims } = options;
  const lifeMs = claims.expiresAtMs - claims.issuedAtMs;
  if (!(lifeMs > 0 && lifeMs <= MAX_WORKLOAD_TOKEN_LIFE_MS)) throw new RangeError("the token's life is out of range");
  if (isOwnAudience(claims.audience, trustDomain)) throw new RangeError("an audience that Sandgate itself listens to");
  return new CompactSign(
    Buffer.from(
      JSON.stringify({
        iss: tokenIssuer(trustDomain),
        sub: formatSpiffeId({ trustDomain, kind: "sandbox", name: claims.sandboxId }),
        aud: claims.audience,
        iat: Math.floor(claims.issuedAtMs / 1000),
        exp: Math.floor(claims.expiresAtMs / 1000),
        jti: claims.tokenId,
      }),
    ),
  )
    .setProtectedHeader({ typ: "JWT", alg: signer.algorithm, kid: signer.kid })
    .sign(signer.privateKey);
}

function isOwnAudience(audience: string, trustDomain: string): boolean {
  return audience === tokenIssuer(trustDomain) || Object.values(tokenRules).some((rule) => rule.audience === audience);
}
