import "reflect-metadata"; // @peculiar/x509 cannot be loaded without it
import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes, webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  X509Certificate as IssuedCertificate,
  KeyUsageFlags,
  KeyUsagesExtension,
  type Name,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { readAuthorityBundle } from "./authority-bundle.ts";
import { createKeyPair } from "./certificate-request.ts";
import { keyThumbprint } from "./jwk-thumbprint.ts";
import { formatSpiffeId } from "./spiffe-id.ts";

/** Sandbox certificates never live longer, in milliseconds. */
export const MAX_SANDBOX_CERTIFICATE_LIFE_MS = 3_600_000;
/** A leaf is valid this much before it is issued, so that clocks a little behind accept it. */
const BACKDATE_MS = 30_000;
const MAX_CSR_BYTES = 4096;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

/** The certificate and PKCS#8 private key of an authority, PEM. */
export interface CertificateAuthorityFiles {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** Makes a self-signed P-256 authority that can sign leaves and nothing else (path length 0). Times are milliseconds since the epoch. */
export async function createCertificateAuthority(options: {
  readonly commonName: string;
  readonly notAfter: number;
  readonly now?: number;
}): Promise<CertificateAuthorityFiles> {
  const { privateKey, publicKey } = createKeyPair();
  const spki = publicKey.export({ type: "spki", format: "der" });
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: [{ CN: [options.commonName] }],
    issuer: [{ CN: [options.commonName] }],
    notBefore: new Date((options.now ?? Date.now()) - BACKDATE_MS),
    notAfter: new Date(options.notAfter),
    publicKey: spki,
    signingKey: await importSigningKey(privateKey),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(spki),
    ],
  });
  return {
    certificatePem: `${certificate.toString("pem")}\n`,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** A leaf that was issued. */
export interface IssuedLeaf {
  readonly der: Uint8Array;
  readonly pem: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** A leaf issued for a certificate request. */
export interface IssuedSandboxLeaf extends IssuedLeaf {
  /** RFC 7638 thumbprint of the certified key. */
  readonly keyThumbprint: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
}

/** The request is not DER PKCS#10 for a P-256 key, signed by that key. */
export class CertificateRequestError extends Error {
  override readonly name = "CertificateRequestError";
}

/** Issues leaves; none outlives the authority. */
export interface CertificateAuthority {
  readonly certificatePem: string;
  /** A certificate for serving and for calling: SPIFFE id, DNS names and addresses. */
  issueServiceCertificate(request: {
    readonly trustDomain: string;
    readonly service: string;
    readonly publicKey: KeyObject;
    readonly dnsNames: readonly string[];
    readonly ipAddresses: readonly string[];
    readonly notAfter: number;
    readonly now: number;
  }): Promise<IssuedLeaf>;
  /** A certificate that a user calls with. */
  issueOperatorCertificate(request: {
    readonly trustDomain: string;
    readonly userId: string;
    readonly publicKey: KeyObject;
    readonly notAfter: number;
    readonly now: number;
  }): Promise<IssuedLeaf>;
  /**
   * A certificate for the key of a request, from which nothing but the key is taken. Throws CertificateRequestError for anything
   * but DER PKCS#10 for a P-256 key signed by that key, and RangeError for a life over an hour.
   */
  issueSandboxCertificate(request: {
    readonly trustDomain: string;
    readonly sandboxId: string;
    readonly certificateRequest: Uint8Array;
    readonly lifeMs: number;
    readonly now: number;
  }): Promise<IssuedSandboxLeaf>;
  /** As `issueSandboxCertificate`, for a key whose possession was proved before. */
  renewSandboxCertificate(request: {
    readonly trustDomain: string;
    readonly sandboxId: string;
    readonly publicKeyDer: Uint8Array;
    readonly lifeMs: number;
    readonly now: number;
  }): Promise<IssuedSandboxLeaf>;
}

/**
 * Takes an authority into use: of a bundle, the one whose key it is. Throws TypeError when that certificate is no authority's, or the
 * key is that of none.
 */
export async function loadCertificateAuthority(files: CertificateAuthorityFiles): Promise<CertificateAuthority> {
  const privateKey = createPrivateKey(files.keyPem);
  const authority = readAuthorityBundle(files.certificatePem).find((one) => one.checkPrivateKey(privateKey));
  if (authority === undefined) throw new TypeError("the key is not the certificate authority's");
  if (!authority.ca) throw new TypeError("the certificate is not a certificate authority's");
  const parsed = new IssuedCertificate(authority.raw);
  const signing: Signing = {
    key: await importSigningKey(privateKey),
    issuer: parsed.subjectName,
    notAfter: Date.parse(authority.validTo),
    authorityKeyIdentifier: await AuthorityKeyIdentifierExtension.create(parsed.publicKey),
  };

  const renewSandboxCertificate: CertificateAuthority["renewSandboxCertificate"] = async (request) => {
    if (!(request.lifeMs > 0 && request.lifeMs <= MAX_SANDBOX_CERTIFICATE_LIFE_MS))
      throw new RangeError("a sandbox certificate lives at most an hour");
    const publicKey = requireP256(request.publicKeyDer);
    const notBefore = request.now - BACKDATE_MS;
    const leaf = await issue(signing, {
      commonName: request.sandboxId,
      publicKeyDer: request.publicKeyDer,
      names: [
        {
          type: "url",
          value: formatSpiffeId({ trustDomain: request.trustDomain, kind: "sandbox", name: request.sandboxId }),
        },
      ],
      usages: [ExtendedKeyUsage.clientAuth],
      notBefore,
      notAfter: Math.min(request.now + request.lifeMs, notBefore + MAX_SANDBOX_CERTIFICATE_LIFE_MS),
    });
    return { ...leaf, keyThumbprint: keyThumbprint(publicKey), publicKeyDer: request.publicKeyDer };
  };

  return {
    certificatePem: authority.toString(),
    renewSandboxCertificate,
    issueServiceCertificate: (request) =>
      issue(signing, {
        commonName: request.service,
        publicKeyDer: request.publicKey.export({ type: "spki", format: "der" }),
        names: [
          {
            type: "url",
            value: formatSpiffeId({ trustDomain: request.trustDomain, kind: "service", name: request.service }),
          },
          ...request.dnsNames.map((value) => ({ type: "dns" as const, value })),
          ...request.ipAddresses.map((value) => ({ type: "ip" as const, value })),
        ],
        usages: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
        notBefore: request.now - BACKDATE_MS,
        notAfter: request.notAfter,
      }),
    issueOperatorCertificate: (request) =>
      issue(signing, {
        commonName: request.userId,
        publicKeyDer: request.publicKey.export({ type: "spki", format: "der" }),
        names: [
          {
            type: "url",
            value: formatSpiffeId({ trustDomain: request.trustDomain, kind: "user", name: request.userId }),
          },
        ],
        usages: [ExtendedKeyUsage.clientAuth],
        notBefore: request.now - BACKDATE_MS,
        notAfter: request.notAfter,
      }),
    issueSandboxCertificate: async ({ certificateRequest, ...request }) =>
      renewSandboxCertificate({ ...request, publicKeyDer: await verifyRequest(certificateRequest) }),
  };
}

const isNoAuthority = new BasicConstraintsExtension(false, undefined, true);
const signsOnly = new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true);

/** A key identifier of RFC 7093, method 4: of the whole SubjectPublicKeyInfo. */
function keyIdentifier(publicKeyDer: Uint8Array): string {
  return createHash("sha256").update(publicKeyDer).digest("hex").slice(0, 40);
}

interface Signing {
  readonly key: webcrypto.CryptoKey;
  readonly issuer: Name;
  readonly notAfter: number;
  readonly authorityKeyIdentifier: Extension;
}

async function issue(
  signing: Signing,
  leaf: {
    readonly commonName: string;
    readonly publicKeyDer: Uint8Array;
    readonly names: { type: "url" | "dns" | "ip"; value: string }[];
    readonly usages: string[];
    readonly notBefore: number;
    readonly notAfter: number;
  },
): Promise<IssuedLeaf> {
  const notAfter = Math.min(leaf.notAfter, signing.notAfter);
  const publicKey = new Uint8Array(leaf.publicKeyDer);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: [{ CN: [leaf.commonName] }],
    issuer: signing.issuer,
    notBefore: new Date(leaf.notBefore),
    notAfter: new Date(notAfter),
    publicKey,
    signingKey: signing.key,
    signingAlgorithm: SIGNATURE,
    extensions: [
      isNoAuthority,
      signsOnly,
      new ExtendedKeyUsageExtension(leaf.usages),
      new SubjectAlternativeNameExtension(leaf.names),
      new SubjectKeyIdentifierExtension(keyIdentifier(publicKey)),
      signing.authorityKeyIdentifier,
    ],
  });
  return {
    der: new Uint8Array(certificate.rawData),
    pem: `${certificate.toString("pem")}\n`,
    notAfter: certificate.notAfter.getTime(),
  };
}

/** The request's SubjectPublicKeyInfo, once its signature proves that the sender holds the key. */
async function verifyRequest(der: Uint8Array): Promise<Uint8Array> {
  if (der.length === 0 || der.length > MAX_CSR_BYTES)
    throw new CertificateRequestError("the request is empty or too large");
  try {
    const request = new Pkcs10CertificateRequest(new Uint8Array(der));
    const publicKeyDer = new Uint8Array(request.publicKey.rawData);
    requireP256(publicKeyDer);
    if (await request.verify()) return publicKeyDer;
  } catch (cause) {
    throw new CertificateRequestError("the request cannot be read", { cause });
  }
  throw new CertificateRequestError("the request is not signed by its key");
}

function requireP256(publicKeyDer: Uint8Array): KeyObject {
  const key = createPublicKey({ key: Buffer.from(publicKeyDer), format: "der", type: "spki" });
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw new CertificateRequestError("the key is not on P-256");
  return key;
}

function importSigningKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey(
    "pkcs8",
    key.export({ type: "pkcs8", format: "der" }),
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign"],
  );
}

/** 16 random bytes, positive and without a leading zero (RFC 5280, 4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}
