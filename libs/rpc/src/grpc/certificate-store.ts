import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { experimental } from "@grpc/grpc-js";

type CertificateProvider = experimental.CertificateProvider;
type CaListener = Parameters<CertificateProvider["addCaCertificateListener"]>[0];
type IdentityListener = Parameters<CertificateProvider["addIdentityCertificateListener"]>[0];

/** PEM: whom to trust, and, where the side presents a certificate, the certificate and its key. */
export interface CertificateMaterial {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
}

/**
 * The certificates that servers and channels use. What is put in is used by every connection made afterwards; open
 * connections go on with what they were made with.
 */
export class CertificateStore implements CertificateProvider {
  readonly #caListeners = new Set<CaListener>();
  readonly #identityListeners = new Set<IdentityListener>();
  #material: CertificateMaterial;

  constructor(material: CertificateMaterial) {
    this.#material = material;
  }

  update(material: CertificateMaterial): void {
    this.#material = material;
    for (const listener of this.#caListeners) this.#tellCa(listener);
    for (const listener of this.#identityListeners) this.#tellIdentity(listener);
  }

  /** Whether there is a certificate to present. */
  get hasIdentity(): boolean {
    return this.identity !== undefined;
  }

  /** What is presented now; undefined where there is nothing. */
  get identity(): { readonly certificate: string; readonly key: string } | undefined {
    const { certificate, key } = this.#material;
    return certificate === undefined || key === undefined ? undefined : { certificate, key };
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#caListeners.add(listener);
    process.nextTick(() => this.#tellCa(listener)); // grpc-js is not ready to hear while it adds a listener
  }
  removeCaCertificateListener(listener: CaListener): void {
    this.#caListeners.delete(listener);
  }
  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    process.nextTick(() => this.#tellIdentity(listener));
  }
  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  #tellCa(listener: CaListener): void {
    listener({ caCertificate: Buffer.from(this.#material.ca) });
  }
  #tellIdentity(listener: IdentityListener): void {
    const { identity } = this;
    listener(
      identity === undefined
        ? null
        : { certificate: Buffer.from(identity.certificate), privateKey: Buffer.from(identity.key) },
    );
  }
}

/** Paths of PEM files. Several CA files are trusted together. */
export interface CertificateFiles {
  readonly caFiles: readonly string[];
  readonly certificateFile?: string;
  readonly keyFile?: string;
}

/** What a program shows and whom it trusts: SHA-256 of certificates, hexadecimal. */
export interface CertificatesInUse {
  /** Undefined where it shows none. */
  readonly certificate: string | undefined;
  readonly authorities: readonly string[];
}

/** A store that follows files: they are read now, throwing if one cannot be read, and looked at again every `refreshMs`. */
export class FileCertificateStore extends CertificateStore {
  readonly #files: CertificateFiles;
  readonly #timer: NodeJS.Timeout;
  readonly #changeListeners = new Set<() => void>();
  #contents: FileContents;

  constructor(files: CertificateFiles, options: { refreshMs?: number; onFault?: (fault: unknown) => void } = {}) {
    const contents = readContents(files);
    super(toMaterial(contents));
    this.#files = files;
    this.#contents = contents;
    this.#timer = setInterval(() => {
      try {
        this.reload();
      } catch (fault) {
        options.onFault?.(fault); // half-written or gone: the certificates in use stay in use
      }
    }, options.refreshMs ?? 10_000).unref();
  }

  /** What each CA file holds. */
  get caPems(): readonly string[] {
    return this.#contents.caPems;
  }

  /** What new connections are made with at this moment. */
  get inUse(): CertificatesInUse {
    const { certificate, caPems } = this.#contents;
    return { certificate: certificate && fingerprintsOf(certificate)[0], authorities: caPems.flatMap(fingerprintsOf) };
  }

  /** Calls `listener` after every change of the files that was taken over. */
  onChange(listener: () => void): void {
    this.#changeListeners.add(listener);
  }

  /** Reads the files again; throws, and changes nothing, when one cannot be read or a key is not its certificate's. */
  reload(): void {
    const contents = readContents(this.#files);
    if (JSON.stringify(contents) === JSON.stringify(this.#contents)) return;
    requirePair(contents);
    this.#contents = contents;
    this.update(toMaterial(contents));
    for (const listener of this.#changeListeners) listener();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

interface FileContents {
  readonly caPems: readonly string[];
  readonly certificate?: string;
  readonly key?: string;
}

function readContents(files: CertificateFiles): FileContents {
  return {
    caPems: files.caFiles.map((file) => readFileSync(file, "utf8")),
    ...(files.certificateFile !== undefined && { certificate: readFileSync(files.certificateFile, "utf8") }),
    ...(files.keyFile !== undefined && { key: readFileSync(files.keyFile, "utf8") }),
  };
}

function toMaterial({ caPems, ...identity }: FileContents): CertificateMaterial {
  return { ca: caPems.join("\n"), ...identity };
}

/** Two files are not replaced in one moment: between them every handshake would fail. */
function requirePair({ certificate, key }: FileContents): void {
  if (certificate === undefined || key === undefined) return;
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key)))
    throw new Error("the key is not that of the certificate");
}

function fingerprintsOf(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  return blocks.map((block) => createHash("sha256").update(new X509Certificate(block).raw).digest("hex"));
}
