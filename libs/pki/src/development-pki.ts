import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmod, chown, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AuthorityFiles } from "./authority-files.ts";
import {
  type CertificateAuthority,
  type CertificateAuthorityFiles,
  type IssuedLeaf,
  loadCertificateAuthority,
} from "./certificate-authority.ts";
import { createKeyPair } from "./certificate-request.ts";
import { withFileLock } from "./file-lock.ts";
import { isIssuedBy } from "./is-issued-by.ts";
import { readCertificate } from "./read-certificate.ts";
import { formatSpiffeId } from "./spiffe-id.ts";
import { writeWholeFile } from "./whole-file.ts";

const DAY_MS = 86_400_000;
const AUTHORITY_RENEWAL_MS = 180 * DAY_MS;
const LEAF_LIFE_MS = 90 * DAY_MS;
const LEAF_RENEWAL_MS = 30 * DAY_MS;

/** The services that a development PKI has certificates for. */
export type DevelopmentService = "auth" | "sandbox" | "policy" | "egress-proxy" | "gateway" | "envelope" | "all-in-one";

const services: readonly DevelopmentService[] = [
  "auth",
  "sandbox",
  "policy",
  "egress-proxy",
  "gateway",
  "envelope",
  "all-in-one",
];

/** Paths of a certificate and its private key, PEM. */
export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Where a development PKI's files are. */
export interface DevelopmentPki {
  readonly serviceAuthority: CertificateFiles;
  readonly sandboxAuthority: CertificateFiles;
  readonly operatorAuthority: CertificateFiles;
  readonly services: Readonly<Record<DevelopmentService, CertificateFiles>>;
  readonly operator: CertificateFiles;
  /** The files that this call wrote; empty when all was there. */
  readonly written: readonly string[];
}

/**
 * Makes what a suite on one machine needs, and changes nothing that is there and good: running it twice writes nothing the second
 * time. A certificate that is missing, damaged, of another trust domain or authority, or within 30 days of its end is made anew
 * (an authority within 180 days of its end, with everything below it). Callers on one directory come one after the other.
 *
 * Files, keys PKCS#8 with mode 0600, certificates with mode 0644:
 * - `service-ca.pem`, `sandbox-ca.pem`, `operator-ca.pem` and `<the same>.key.pem`; see AuthorityFiles
 * - `auth.pem`, `sandbox.pem`, `policy.pem`, `egress-proxy.pem`, `gateway.pem`, `envelope.pem`, `all-in-one.pem` and `<the same>.key.pem`, for 90 days
 * - `operator.pem`, `operator.key.pem`, the certificate of the user `operatorUserId`, for 90 days
 *
 * `owners` gives files of one name to another uid and gid, for services that run as one.
 */
export async function createDevelopmentPki(options: DevelopmentPkiOptions): Promise<DevelopmentPki> {
  await mkdir(options.directory, { recursive: true, mode: 0o755 });
  return withFileLock(join(options.directory, ".lock"), () => completePki(options));
}

/** What `createDevelopmentPki` is told. */
export interface DevelopmentPkiOptions {
  readonly directory: string;
  readonly trustDomain: string;
  readonly operatorUserId: string;
  readonly now?: number;
  readonly owners?: Readonly<
    Partial<Record<DevelopmentService | "operator", { readonly uid: number; readonly gid: number }>>
  >;
}

/** What an authority vouches for. */
export type AuthorityKind = "service" | "sandbox" | "operator";

/** The files of an authority in a directory that `createDevelopmentPki` has made. */
export function developmentAuthority(directory: string, kind: AuthorityKind, trustDomain: string): AuthorityFiles {
  return new AuthorityFiles({ directory, name: `${kind}-ca`, commonName: `${trustDomain} ${commonNames[kind]}` });
}

const commonNames: Readonly<Record<AuthorityKind, string>> = {
  service: "services",
  sandbox: "sandboxes",
  operator: "operators",
};

async function completePki(options: DevelopmentPkiOptions): Promise<DevelopmentPki> {
  const { directory, trustDomain, operatorUserId } = options;
  const now = options.now ?? Date.now();
  const written: string[] = [];

  const files = (name: string): CertificateFiles => ({
    certificateFile: join(directory, `${name}.pem`),
    keyFile: join(directory, `${name}.key.pem`),
  });

  const authority = async (kind: AuthorityKind): Promise<CertificateAuthority> => {
    const own = developmentAuthority(directory, kind, trustDomain);
    const found = await own.read();
    if (found !== undefined && isUsableAuthority(found.current, now)) {
      await own.arrange();
      return loadCertificateAuthority({ certificatePem: found.current.toString(), keyPem: found.keyPem });
    }
    const made = await own.create(now);
    written.push(own.keyFile, own.bundleFile);
    return loadCertificateAuthority({ certificatePem: made.current.toString(), keyPem: made.keyPem });
  };

  const leaf = async (
    name: DevelopmentService | "operator",
    issuer: CertificateAuthority,
    spiffeId: string,
    issue: (publicKey: ReturnType<typeof createKeyPair>["publicKey"], notAfter: number) => Promise<IssuedLeaf>,
  ): Promise<void> => {
    const found = await readPair(files(name));
    if (found === undefined || !isUsableLeaf(found, issuer.certificatePem, spiffeId, now)) {
      const { privateKey, publicKey } = createKeyPair();
      const { pem } = await issue(publicKey, now + LEAF_LIFE_MS);
      const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      await writePair(files(name), { certificatePem: pem, keyPem }, options.owners?.[name], written);
    }
    const owner = options.owners?.[name];
    if (owner !== undefined) await chown(files(name).keyFile, owner.uid, owner.gid);
  };

  const serviceAuthority = await authority("service");
  await authority("sandbox");
  const operatorAuthority = await authority("operator");

  for (const service of services) {
    const hosts = service === "all-in-one" ? ["all-in-one", "auth", "sandbox", "policy"] : [service];
    await leaf(
      service,
      serviceAuthority,
      formatSpiffeId({ trustDomain, kind: "service", name: service }),
      (publicKey, notAfter) =>
        serviceAuthority.issueServiceCertificate({
          trustDomain,
          service,
          publicKey,
          dnsNames: [...hosts.map((host) => `${host}.${trustDomain}`), "localhost"],
          ipAddresses: ["127.0.0.1", "::1"],
          notAfter,
          now,
        }),
    );
  }
  await leaf(
    "operator",
    operatorAuthority,
    formatSpiffeId({ trustDomain, kind: "user", name: operatorUserId }),
    (publicKey, notAfter) =>
      operatorAuthority.issueOperatorCertificate({ trustDomain, userId: operatorUserId, publicKey, notAfter, now }),
  );

  return {
    serviceAuthority: files("service-ca"),
    sandboxAuthority: files("sandbox-ca"),
    operatorAuthority: files("operator-ca"),
    services: {
      auth: files("auth"),
      sandbox: files("sandbox"),
      policy: files("policy"),
      "egress-proxy": files("egress-proxy"),
      gateway: files("gateway"),
      envelope: files("envelope"),
      "all-in-one": files("all-in-one"),
    },
    operator: files("operator"),
    written,
  };
}

async function readPair({
  certificateFile,
  keyFile,
}: CertificateFiles): Promise<CertificateAuthorityFiles | undefined> {
  try {
    const pair = { certificatePem: await readFile(certificateFile, "utf8"), keyPem: await readFile(keyFile, "utf8") };
    const matches = new X509Certificate(pair.certificatePem).checkPrivateKey(createPrivateKey(pair.keyPem));
    if (!matches) return undefined;
    await chmod(keyFile, 0o600);
    return pair;
  } catch (cause) {
    if (isPermissionFault(cause)) throw cause;
    return undefined;
  }
}

/** A file that is there but may not be read is a fault to report, not one to write over. */
function isPermissionFault(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && (cause.code === "EACCES" || cause.code === "EPERM");
}

/** Writes the key first, each file whole or not at all; a pair torn by a crash is made anew by the next call. */
async function writePair(
  files: CertificateFiles,
  pair: CertificateAuthorityFiles,
  owner: { readonly uid: number; readonly gid: number } | undefined,
  written: string[],
): Promise<void> {
  await writeWholeFile(files.keyFile, pair.keyPem, 0o600);
  if (owner !== undefined) await chown(files.keyFile, owner.uid, owner.gid);
  await writeWholeFile(files.certificateFile, pair.certificatePem, 0o644);
  written.push(files.keyFile, files.certificateFile);
}

function isUsableAuthority(certificate: X509Certificate, now: number): boolean {
  return isIssuedBy(certificate.raw, certificate, now) && Date.parse(certificate.validTo) - now > AUTHORITY_RENEWAL_MS;
}

function isUsableLeaf(
  { certificatePem }: CertificateAuthorityFiles,
  authorityPem: string,
  spiffeId: string,
  now: number,
): boolean {
  const { raw } = new X509Certificate(certificatePem);
  const facts = readCertificate(raw);
  return isIssuedBy(raw, authorityPem, now) && facts.spiffeId === spiffeId && facts.notAfter - now > LEAF_RENEWAL_MS;
}
