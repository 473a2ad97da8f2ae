import { X509Certificate } from "node:crypto";
import { isIssuedBy, parseSpiffeId, readCertificate } from "@sandgate/pki";
import { ServiceError } from "@sandgate/rpc";
import type { NewOperatorCertificate } from "../store/operator-certificate-store.ts";

/** The operator authority at this moment, and the trust domain. */
export interface OperatorAuthority {
  /** PEM, one or several. */
  readonly bundle: () => string;
  readonly trustDomain: string;
}

/** A certificate that the operator authority has issued for a user. Throws OPERATOR_CERTIFICATE_REJECTED for anything else. */
export function requireOperatorCertificate(
  der: Uint8Array,
  { bundle, trustDomain }: OperatorAuthority,
  now: number,
): NewOperatorCertificate {
  const rejection = () =>
    new ServiceError("OPERATOR_CERTIFICATE_REJECTED", "this is no valid certificate of the operator authority");
  if (!isIssuedBy(der, bundle(), now)) throw rejection();
  const { spiffeId, sha256, notAfter } = readCertificate(der);
  const id = spiffeId === undefined ? undefined : parseSpiffeId(spiffeId);
  if (id?.kind !== "user" || id.trustDomain !== trustDomain) throw rejection();
  const serial = new X509Certificate(der).serialNumber.toLowerCase();
  return { sha256, serial, userId: id.name, expiresAtMs: notAfter };
}
