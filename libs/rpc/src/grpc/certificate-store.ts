import { createHash } from "node:crypto";
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

/** A store that follows files: they are read now, throwing if one cannot be read, and looked at again every `refreshMs`. */
export class FileCertificateStore extends CertificateStore {
  readonly #files: CertificateFiles;
  readonly #timer: NodeJS.Timeout;
  #digest: string;

  constructor(files: CertificateFiles, options: { refreshMs?: number; onFault?: (fault: unknown) => void } = {}) {
    const material = readMaterial(files);
    super(material);
    this.#files = files;
    this.#digest = digest(material);
    this.#timer = setInterval(() => {
      try {
        this.reload();
      } catch (fault) {
        options.onFault?.(fault); // half-written or gone: the certificates in use stay in use
      }
    }, options.refreshMs ?? 10_000).unref();
  }

  /** Reads the files again; throws, and changes nothing, when one cannot be read. */
  reload(): void {
    const material = readMaterial(this.#files);
    const now = digest(material);
    if (now === this.#digest) return;
    this.#digest = now;
    this.update(material);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function readMaterial(files: CertificateFiles): CertificateMaterial {
  return {
    ca: files.caFiles.map((file) => readFileSync(file, "utf8")).join("\n"),
    ...(files.certificateFile !== undefined && { certificate: readFileSync(files.certificateFile, "utf8") }),
    ...(files.keyFile !== undefined && { key: readFileSync(files.keyFile, "utf8") }),
  };
}

function digest(material: CertificateMaterial): string {
  return createHash("sha256").update(JSON.stringify(material)).digest("hex");
}
