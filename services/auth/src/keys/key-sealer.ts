import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  type KeyObject,
  randomBytes,
  randomUUID,
} from "node:crypto";
import { existsSync } from "node:fs";
import { link, mkdir, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readSecretFile } from "@sandgate/config";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** A key directory that cannot be used; programs print it and exit with 2. */
export class SigningKeysError extends Error {
  override readonly name = "SigningKeysError";
  readonly exitCode = 2;
}

/** Makes private keys unreadable for everyone without the sealing key, and readable again. */
export interface KeySealer {
  /** AES-256-GCM over the key's PKCS#8, tied to its kid, with the newest sealing key. */
  seal(kid: string, privateKey: KeyObject): Uint8Array;
  /** Throws SigningKeysError for what neither sealing key has sealed, or for another kid. */
  open(kid: string, sealed: Uint8Array): KeyObject;
}

/**
 * The sealer of a key directory: its file `sealing.key`, 32 bytes in base64url, mode 0600, which every replica needs the same of. It is
 * made where it is missing and `mayMake` says so. While the sealing key is replaced there is `sealing.next.key` too: it seals, and both
 * open. The files are read each time, so that they can be replaced while replicas run. Throws SigningKeysError for a file that is missing
 * or no such key, and ConfigError for one that others can read.
 */
export async function loadKeySealer(directory: string, options: { readonly mayMake: boolean }): Promise<KeySealer> {
  const file = join(directory, "sealing.key");
  const keys = (): readonly Buffer[] =>
    [join(directory, "sealing.next.key"), file].map(readKey).filter((key) => key !== undefined);
  if (keys().length === 0) {
    if (!options.mayMake)
      throw new SigningKeysError(`${file}: file is missing, and the signing keys in the database are sealed with it`);
    await makeKeyFile(directory, file);
  }
  if (keys().length === 0) throw new SigningKeysError(`${file}: file is missing`);
  return {
    seal: (kid, privateKey) => {
      const [newest] = keys();
      if (newest === undefined) throw new SigningKeysError(`${file}: file is missing`);
      return sealWith(newest, kid, privateKey);
    },
    open: (kid, sealed) => {
      for (const key of keys()) {
        const opened = openWith(key, kid, sealed);
        if (opened !== undefined) return opened;
      }
      throw new SigningKeysError(`${file}: not the key that the signing keys in the database are sealed with`);
    },
  };
}

function sealWith(key: Buffer, kid: string, privateKey: KeyObject): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(kid));
  const sealed = [cipher.update(privateKey.export({ type: "pkcs8", format: "der" })), cipher.final()];
  return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]);
}

function openWith(key: Buffer, kid: string, sealed: Uint8Array): KeyObject | undefined {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(kid))
      .setAuthTag(tag);
    const der = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  } catch {
    return undefined; // another key has sealed it, or another kid's is meant
  }
}

function readKey(file: string): Buffer | undefined {
  if (!existsSync(file)) return undefined;
  const key = Buffer.from(readSecretFile(file).reveal(), "base64url");
  if (key.length !== 32) throw new SigningKeysError(`${file}: does not hold 32 bytes in base64url`);
  return key;
}

/** Writes a new key whole under another name and links it: whoever links first has made it, everybody else reads that one. */
async function makeKeyFile(directory: string, file: string): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(temporary, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    await link(temporary, file);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST"))
      throw new SigningKeysError(`${file}: cannot be written`, { cause });
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}
