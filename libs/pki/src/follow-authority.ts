import { readFile } from "node:fs/promises";
import { type CertificateAuthority, loadCertificateAuthority } from "./certificate-authority.ts";

const REFRESH_MS = 10_000;

/** An authority that follows its files. */
export interface FollowedAuthority extends CertificateAuthority {
  /** Reads the files again; rejects, and changes nothing, when they hold no authority and its key. */
  reload(): Promise<void>;
  /** Follows no longer. */
  close(): void;
}

/**
 * Takes an authority into use, and what replaces it in its files, which are looked at every ten seconds: a bundle in PEM, and the key of
 * the one of it that issues. Rejects as `loadCertificateAuthority` does, or when a file cannot be read.
 */
export async function followCertificateAuthority(options: {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Told that the files could not be read again; the authority in use stays in use. */
  readonly onFault: (fault: unknown) => void;
}): Promise<FollowedAuthority> {
  const read = async () => ({
    certificatePem: await readFile(options.certificateFile, "utf8"),
    keyPem: await readFile(options.keyFile, "utf8"),
  });
  let files = await read();
  let current = await loadCertificateAuthority(files);
  const reload = async (): Promise<void> => {
    const found = await read();
    if (found.certificatePem === files.certificatePem && found.keyPem === files.keyPem) return;
    current = await loadCertificateAuthority(found);
    files = found;
  };
  const timer = setInterval(() => void reload().catch(options.onFault), REFRESH_MS).unref();
  return {
    get certificatePem() {
      return current.certificatePem;
    },
    issueServiceCertificate: (request) => current.issueServiceCertificate(request),
    issueOperatorCertificate: (request) => current.issueOperatorCertificate(request),
    issueSandboxCertificate: (request) => current.issueSandboxCertificate(request),
    renewSandboxCertificate: (request) => current.renewSandboxCertificate(request),
    reload,
    close: () => clearInterval(timer),
  };
}
