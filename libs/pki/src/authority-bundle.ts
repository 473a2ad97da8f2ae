import { X509Certificate } from "node:crypto";

/**
 * The certificates of a bundle in PEM, in their order: that of an authority, and, while it is replaced, those of the one that follows it
 * and the one before it. Throws for a certificate that cannot be read; empty where there is none.
 */
export function readAuthorityBundle(pem: string): readonly X509Certificate[] {
  return splitAuthorityBundle(pem).map((block) => new X509Certificate(block));
}

/** The PEM of each certificate of a bundle, each with the newline at its end. */
export function splitAuthorityBundle(pem: string): readonly string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? []).map((block) => `${block}\n`);
}
