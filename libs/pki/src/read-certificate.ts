import { createHash, X509Certificate } from "node:crypto";
import { keyThumbprint } from "./jwk-thumbprint.ts";
import { parseSpiffeId } from "./spiffe-id.ts";

/** What we ask of a certificate. */
export interface CertificateFacts {
  /** The one URI name, where it is a SPIFFE id of our form; undefined when there is none, another, or more than one. */
  readonly spiffeId: string | undefined;
  /** RFC 7638 thumbprint of the certificate's key, base64url. */
  readonly keyThumbprint: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
  /** SHA-256 of the DER, hexadecimal. */
  readonly sha256: string;
  readonly dnsNames: readonly string[];
}

/**
 * Reads a certificate without judging who issued it. Throws TypeError for anything but one certificate in DER, and for names
 * that need quoting, which no certificate of ours has.
 */
export function readCertificate(der: Uint8Array): CertificateFacts {
  const certificate = parseDer(der);
  const names = (certificate.subjectAltName ?? "").split(", ");
  if (names.some((name) => name.includes('"'))) throw new TypeError("a certificate with a name that needs quoting");
  const uris = names.filter((name) => name.startsWith("URI:")).map((name) => name.slice("URI:".length));
  const [uri] = uris;
  return {
    spiffeId: uris.length === 1 && uri !== undefined && parseSpiffeId(uri) !== undefined ? uri : undefined,
    keyThumbprint: keyThumbprint(certificate.publicKey),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    sha256: createHash("sha256").update(der).digest("hex"),
    dnsNames: names.filter((name) => name.startsWith("DNS:")).map((name) => name.slice("DNS:".length)),
  };
}

function parseDer(der: Uint8Array): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (cause) {
    throw new TypeError("not a certificate", { cause });
  }
  if (certificate.raw.length !== der.length) throw new TypeError("a certificate with bytes around it");
  return certificate;
}
