import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTokenSigner, formatJwks, mintToken } from "@sandgate/identity";
import { createCsr, createKeyPair } from "@sandgate/pki";
import { createDevelopmentPki, loadCertificateAuthority } from "@sandgate/pki/authority";

export const trustDomain = "sandgate.bench";
export const organizationId = "6f1d9a52-0c5e-4a39-9c55-0f8a3f1f7a01";
const sandboxIdLetters = "abcdefghijklmnopqrstuvwxyz234567";
const ownerUserId = "0b8f8c0e-1111-4222-8333-444455556666";

/** One sandbox, enrolled. */
export interface BenchSandbox {
  readonly sandboxId: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly keyThumbprint: string;
  /** A session token bound to the certificate's key. */
  readonly token: string;
}

/** The part that server processes are told. */
export interface ServerIdentity {
  readonly tls: {
    readonly certificate_file: string;
    readonly key_file: string;
    readonly service_ca_file: string;
    readonly sandbox_ca_file: string;
    readonly operator_ca_file: string;
  };
  readonly jwksJson: string;
  readonly sandboxes: readonly Pick<BenchSandbox, "sandboxId" | "keyThumbprint">[];
}

/** Certificates, keys and tokens of one run. */
export interface BenchIdentity {
  readonly server: ServerIdentity;
  readonly serverCaPem: string;
  readonly sandboxes: readonly BenchSandbox[];
  remove(): Promise<void>;
}

/** Makes a PKI in a directory of its own, with enrolled sandboxes, at most 32. */
export async function createBenchIdentity(sandboxCount: number): Promise<BenchIdentity> {
  const directory = await mkdtemp(join(tmpdir(), "sandgate-bench-"));
  const pki = await createDevelopmentPki({ directory, trustDomain, operatorUserId: ownerUserId });
  const authority = await loadCertificateAuthority({
    certificatePem: await readFile(pki.sandboxAuthority.certificateFile, "utf8"),
    keyPem: await readFile(pki.sandboxAuthority.keyFile, "utf8"),
  });
  const signing = generateKeyPairSync("ed25519");
  const signer = createTokenSigner(signing.privateKey);
  const now = Date.now();
  const sandboxes = await Promise.all(
    Array.from({ length: sandboxCount }, async (_, index): Promise<BenchSandbox> => {
      const sandboxId = `sbx-${(sandboxIdLetters[index] ?? "").repeat(20)}`;
      const keys = createKeyPair();
      const leaf = await authority.issueSandboxCertificate({
        trustDomain,
        sandboxId,
        certificateRequest: await createCsr(keys),
        lifeMs: 3_600_000,
        now,
      });
      const token = await mintToken({
        signer,
        trustDomain,
        claims: {
          kind: "session",
          tokenId: randomUUID(),
          sandboxId,
          organizationId,
          incarnation: 1n,
          keyThumbprint: leaf.keyThumbprint,
          issuedAtMs: now,
          expiresAtMs: now + 3_600_000,
        },
      });
      return {
        sandboxId,
        certificatePem: leaf.pem,
        keyPem: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        keyThumbprint: leaf.keyThumbprint,
        token,
      };
    }),
  );
  return {
    server: {
      tls: {
        certificate_file: pki.services.auth.certificateFile,
        key_file: pki.services.auth.keyFile,
        service_ca_file: pki.serviceAuthority.certificateFile,
        sandbox_ca_file: pki.sandboxAuthority.certificateFile,
        operator_ca_file: pki.operatorAuthority.certificateFile,
      },
      jwksJson: formatJwks([signing.publicKey]),
      sandboxes: sandboxes.map(({ sandboxId, keyThumbprint }) => ({ sandboxId, keyThumbprint })),
    },
    serverCaPem: await readFile(pki.serviceAuthority.certificateFile, "utf8"),
    sandboxes,
    remove: () => rm(directory, { recursive: true }),
  };
}
