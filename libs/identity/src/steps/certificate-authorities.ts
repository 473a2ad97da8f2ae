import { isIssuedBy } from "@sandgate/pki";

/** PEM of the authorities whose certificates an mTLS listener takes. Which of them signed decides what a peer can be. */
export interface CertificateAuthorities {
  readonly service: string;
  readonly sandbox: string;
  readonly operator: string;
  /** Calls `listener` when one of them was replaced; undefined where they stay as they are. */
  readonly onChange?: (listener: () => void) => void;
}

/** What kind of subject the certificate's issuer may vouch for; undefined when none of ours signed it. */
export function issuerKind(
  der: Uint8Array,
  authorities: CertificateAuthorities,
): "service" | "sandbox" | "user" | undefined {
  if (isIssuedBy(der, authorities.service)) return "service";
  if (isIssuedBy(der, authorities.sandbox)) return "sandbox";
  if (isIssuedBy(der, authorities.operator)) return "user";
  return undefined;
}
