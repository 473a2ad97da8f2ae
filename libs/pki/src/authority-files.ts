import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { chmod, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { readAuthorityBundle } from "./authority-bundle.ts";
import { createCertificateAuthority } from "./certificate-authority.ts";
import { writeWholeFile } from "./whole-file.ts";

const AUTHORITY_LIFE_MS = 3650 * 86_400_000;

/** An authority as its files have it. */
export interface AuthorityState {
  /** The one that issues: whose key is in the key file. */
  readonly current: X509Certificate;
  /** PKCS#8, PEM. */
  readonly keyPem: string;
  /** The one that is to follow: verifiers know it already. */
  readonly next: X509Certificate | undefined;
  /** Those that issued before: what they issued is still accepted. */
  readonly previous: readonly X509Certificate[];
  /** From when the previous ones may be taken out of the bundle (milliseconds); undefined while that is not decided. */
  readonly retireAtMs: number | undefined;
}

/**
 * The files of one authority in a directory. The one that issues is that of the bundle `<name>.pem` whose key is `<name>.key.pem`, so that
 * the next one takes its place in one rename; the order in the bundle only helps readers. Whatever step a crash interrupts, what is left
 * is a state from which `publish`, `promote` and `retire` go on.
 */
export class AuthorityFiles {
  readonly bundleFile: string;
  readonly keyFile: string;
  readonly #nextKeyFile: string;
  readonly #retirementFile: string;
  readonly #commonName: string;

  constructor(options: { readonly directory: string; readonly name: string; readonly commonName: string }) {
    const at = (suffix: string): string => join(options.directory, `${options.name}${suffix}`);
    this.bundleFile = at(".pem");
    this.keyFile = at(".key.pem");
    this.#nextKeyFile = at(".next.key.pem");
    this.#retirementFile = at(".retire-at");
    this.#commonName = options.commonName;
  }

  /** The state; undefined when there is no authority, or none whose key is there. Throws for a file that may not be read. */
  async read(): Promise<AuthorityState | undefined> {
    const [bundlePem, keyPem] = await Promise.all([readIfPresent(this.bundleFile), readIfPresent(this.keyFile)]);
    const bundle = bundlePem === undefined ? [] : parse(() => readAuthorityBundle(bundlePem), []);
    const current = bundle.find(isOf(keyPem));
    if (current === undefined || keyPem === undefined) return undefined;
    await chmod(this.keyFile, 0o600);
    const isNext = isOf(await readIfPresent(this.#nextKeyFile));
    const next = bundle.find((one) => one !== current && isNext(one));
    const retireAt = Number((await readIfPresent(this.#retirementFile)) ?? Number.NaN);
    return {
      current,
      keyPem,
      next,
      previous: bundle.filter((one) => one !== current && one !== next),
      retireAtMs: Number.isNaN(retireAt) ? undefined : retireAt,
    };
  }

  /** Makes an authority in the place of whatever was there. Answers its state and the files. */
  async create(now: number): Promise<AuthorityState> {
    const made = await createCertificateAuthority({
      commonName: this.#commonName,
      notAfter: now + AUTHORITY_LIFE_MS,
      now,
    });
    await rm(this.#nextKeyFile, { force: true });
    await writeWholeFile(this.keyFile, made.keyPem, 0o600);
    await writeWholeFile(this.bundleFile, made.certificatePem, 0o644);
    return {
      current: new X509Certificate(made.certificatePem),
      keyPem: made.keyPem,
      next: undefined,
      previous: [],
      retireAtMs: undefined,
    };
  }

  /** Puts the next authority into the bundle, unless there is one. */
  async publish(now: number): Promise<void> {
    const state = await this.#require();
    if (state.next !== undefined) return;
    const made = await createCertificateAuthority({
      commonName: this.#commonName,
      notAfter: now + AUTHORITY_LIFE_MS,
      now,
    });
    await writeWholeFile(this.#nextKeyFile, made.keyPem, 0o600); // without its certificate in the bundle it is nothing
    await this.#write([state.current, new X509Certificate(made.certificatePem), ...state.previous]);
  }

  /** Has the next authority issue; the key of the one before is gone. Every verifier must know it. Does nothing where there is none. */
  async promote(): Promise<void> {
    const state = await this.#require();
    if (state.next === undefined) return;
    await rm(this.#retirementFile, { force: true });
    await rename(this.#nextKeyFile, this.keyFile);
    await this.#write([state.next, state.current, ...state.previous]);
  }

  /** Puts the authority that issues first in its bundle, where a crash came between. */
  async arrange(): Promise<void> {
    const { current, next, previous } = await this.#require();
    const [first] = readAuthorityBundle(await readFile(this.bundleFile, "utf8"));
    if (first === undefined || first.fingerprint256 === current.fingerprint256) return;
    await this.#write([current, ...(next === undefined ? [] : [next]), ...previous]);
  }

  /** Decides from when the previous ones may be taken out of the bundle. */
  async retireAt(timeMs: number): Promise<void> {
    await writeWholeFile(this.#retirementFile, `${timeMs}\n`, 0o644);
  }

  /** Takes the previous ones out of the bundle: nobody accepts any more what they issued. */
  async retire(): Promise<void> {
    const { current, next, previous } = await this.#require();
    if (previous.length > 0) await this.#write(next === undefined ? [current] : [current, next]);
    await rm(this.#retirementFile, { force: true });
  }

  async #require(): Promise<AuthorityState> {
    const state = await this.read();
    if (state === undefined) throw new Error("there is no authority whose key is there");
    return state;
  }

  async #write(certificates: readonly X509Certificate[]): Promise<void> {
    await writeWholeFile(this.bundleFile, certificates.map((one) => one.toString()).join(""), 0o644);
  }
}

function isOf(keyPem: string | undefined): (certificate: X509Certificate) => boolean {
  const key =
    keyPem === undefined ? undefined : parse<KeyObject | undefined>(() => createPrivateKey(keyPem), undefined);
  return (certificate) => key !== undefined && certificate.checkPrivateKey(key);
}

function parse<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise; // damaged, as by a crash of the machine
  }
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    // one that is there but may not be read is a fault to report, not one to write over
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
}
