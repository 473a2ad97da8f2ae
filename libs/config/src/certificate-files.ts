import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import * as z from "zod";
import { findFileFault } from "./checked-file.ts";

/** As `filePath`, for a certificate, with the rest of its chain or without, in PEM. */
export function certificateFilePath() {
  return checkedPath((path) => findFileFault(path, "plain") ?? findCertificateFault(path, { authority: false }));
}

/** As `filePath`, for certificates in PEM, all of certificate authorities. */
export function authorityFilePath() {
  return checkedPath((path) => findFileFault(path, "plain") ?? findCertificateFault(path, { authority: true }));
}

/** As `secretFilePath`, for a private key in PEM without a passphrase. */
export function privateKeyFilePath() {
  return checkedPath((path) => findFileFault(path, "secret") ?? findKeyFault(path));
}

/**
 * The check of a section with `certificate_file` and `key_file`: the key must be that of the certificate, or that of one of a bundle of
 * authorities. It also looks at sections that have other faults, and is silent where one of the two files has a fault of its own.
 */
export function matchingKey(options: { readonly ofBundle: boolean } = { ofBundle: false }) {
  return z.superRefine<unknown>(
    (section, context) => {
      const pair = certificatePair.safeParse(section);
      if (pair.success && !isMatching(pair.data, options))
        context.addIssue({ code: "custom", path: ["key_file"], message: "is not the key of certificate_file" });
    },
    { when: () => true },
  );
}

const certificatePair = z.object({ certificate_file: certificateFilePath(), key_file: privateKeyFilePath() });

function checkedPath(findFault: (path: string) => string | undefined) {
  return z.string().superRefine((path, context) => {
    const message = findFault(path);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });
}

function isMatching(pair: z.output<typeof certificatePair>, { ofBundle }: { readonly ofBundle: boolean }): boolean {
  const certificates = readCertificates(pair.certificate_file);
  const key = createPrivateKey(readFileSync(pair.key_file));
  return (ofBundle ? certificates : certificates.slice(0, 1)).some((one) => one.checkPrivateKey(key));
}

function findCertificateFault(path: string, { authority }: { readonly authority: boolean }): string | undefined {
  try {
    const certificates = readCertificates(path);
    if (certificates.length === 0) return "holds no certificate in PEM";
    return authority && certificates.some(({ ca }) => !ca)
      ? "holds a certificate that is not an authority's"
      : undefined;
  } catch {
    return "holds a certificate that cannot be read";
  }
}

function findKeyFault(path: string): string | undefined {
  try {
    createPrivateKey(readFileSync(path));
    return undefined;
  } catch {
    return "holds no private key in PEM without a passphrase"; // the error may tell of the key
  }
}

function readCertificates(path: string): readonly X509Certificate[] {
  const blocks = readFileSync(path, "utf8").match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  return blocks.map((pem) => new X509Certificate(pem));
}
