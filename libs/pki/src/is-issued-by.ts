import { X509Certificate } from "node:crypto";
import { readAuthorityBundle } from "./authority-bundle.ts";

/**
 * Whether this very authority, or one of a bundle in PEM, signed the certificate, and both are valid at `now` (milliseconds since the
 * epoch). False for an issuer that is not a CA, for an expired or future leaf or authority, and for what cannot be parsed. One level
 * only: an intermediate is not looked for.
 */
export function isIssuedBy(der: Uint8Array, authority: string | X509Certificate, now: number = Date.now()): boolean {
  try {
    const certificate = new X509Certificate(der);
    const issuers = typeof authority === "string" ? readAuthorityBundle(authority) : [authority];
    return (
      isWithinValidity(certificate, now) &&
      issuers.some(
        (issuer) =>
          issuer.ca &&
          isWithinValidity(issuer, now) &&
          certificate.checkIssued(issuer) &&
          certificate.verify(issuer.publicKey),
      )
    );
  } catch {
    return false;
  }
}

function isWithinValidity(certificate: X509Certificate, now: number): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}
