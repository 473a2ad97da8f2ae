import { readFileSync, statSync } from "node:fs";
import { readAuthorityBundle, readCertificate } from "@sandgate/pki";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";

const largestBytes = 1_048_576;

/** `sandgate pki show`: what the certificates of a file say; verifies nothing, needs no suite. */
export async function showCertificates(context: CommandContext, file: string): Promise<number> {
  const { output } = context;
  const certificates = read(file).map((certificate) => {
    const { spiffeId, sha256, notBefore, notAfter } = readCertificate(certificate.raw);
    return {
      subject: certificate.subject,
      issuer: certificate.issuer,
      authority: certificate.ca,
      spiffeId,
      serial: certificate.serialNumber.toLowerCase(),
      sha256,
      notBefore: new Date(notBefore).toISOString(),
      notAfter: new Date(notAfter).toISOString(),
    };
  });
  output.document({ certificates });
  for (const certificate of certificates) {
    for (const [name, value] of Object.entries(certificate))
      if (value !== undefined) output.line(`${name.padEnd(10)} ${escapeLine(String(value))}`);
    output.line();
  }
  return exitCodes.ok;
}

function read(file: string) {
  const pem = readText(file);
  try {
    const certificates = readAuthorityBundle(pem);
    if (certificates.length > 0) return certificates;
  } catch {
    // told below
  }
  throw usageFailure(`${file} holds no certificate in PEM that can be read`, mend);
}

function readText(file: string): string {
  try {
    if (statSync(file).size > largestBytes) throw usageFailure(`${file} is too large for certificates`, mend);
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause)) throw cause;
    const why = cause.code === "ENOENT" ? "is not there" : `cannot be read (${String(cause.code)})`;
    throw usageFailure(`${file} ${why}`, mend);
  }
}

const mend = "name a file with certificates in PEM";
