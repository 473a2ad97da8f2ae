import type { EgressClaims, TokenClaims } from "./token-claims.ts";

/** What a presenter has proved to hold by its client certificate; both undefined without one. */
export interface PresenterProof {
  /** RFC 7638 thumbprint of the certificate's key. */
  readonly keyThumbprint: string | undefined;
  /** SHA-256 of the certificate's DER, base64url. */
  readonly certificateSha256?: string | undefined;
}

/** Whether a token may be presented with this proof: one with a `cnf` needs what that names (RFC 7800), every other needs none. */
export function isBoundTo(claims: TokenClaims, proof: PresenterProof): boolean {
  switch (claims.kind) {
    case "session":
      return claims.keyThumbprint === proof.keyThumbprint;
    case "egress":
      return isConfirmed(claims.confirmation, proof);
    case "bootstrap":
    case "exchange-permit":
    case "user":
      return true;
  }
}

function isConfirmed(confirmation: EgressClaims["confirmation"], proof: PresenterProof): boolean {
  switch (confirmation?.kind) {
    case undefined:
      return true;
    case "key":
      return confirmation.thumbprint === proof.keyThumbprint;
    case "certificate":
      return confirmation.sha256 === proof.certificateSha256;
  }
}
