import { X509Certificate } from "node:crypto";

/**
 * Whether this very authority signed the certificate, and both are valid at `now` (milliseconds since the epoch). False for an
 * issuer that is not a CA, for an expired or future leaf or authority, and for what cannot be parsed. One level only: an
 * intermediate is not looked for.
 */
export function isIssuedBy(der: Uint8Array, authority: string | X509Certificate, now: number = Date.now()): boolean {
  try {
    const certificate = new X509Certificate(der);
    const issuer = typeof authority === "string" ? new X509Certificate(authority) : authority;
    return (
      issuer.ca &&
      isWithinValidity(issuer, now) &&
      isWithinValidity(certificate, now) &&
      certificate.checkIssued(issuer) &&
      certificate.verify(issuer.publicKey)
    );
  } catch {
    return false;
  }
}

function isWithinValidity(certificate: X509Certificate, now: number): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}
