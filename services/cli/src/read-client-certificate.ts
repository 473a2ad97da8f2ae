import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { keyThumbprint } from "@sandgate/pki";
import { usageFailure } from "./command-failure.ts";

/** What a token may name of the client certificate in a file, PEM or DER: its hash, and the thumbprint of its key (base64url). */
export function readClientCertificate(file: string): { readonly sha256: string; readonly keyThumbprint: string } {
  try {
    const certificate = new X509Certificate(readFileSync(file));
    return {
      sha256: createHash("sha256").update(certificate.raw).digest("base64url"),
      keyThumbprint: keyThumbprint(certificate.publicKey),
    };
  } catch {
    throw usageFailure(`${file} is not a certificate`, "name a certificate in PEM or DER");
  }
}
