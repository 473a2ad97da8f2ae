import { createPrivateKey, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { makeSealingKeyFile, openSealed, readSealingKeys, SealingError, seal } from "@sandgate/sealing";

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
 * open. The files are read each time, so that they can be replaced while replicas run. Throws SigningKeysError for a file that is missing,
 * SealingError for one that holds no such key, and ConfigError for one that others can read.
 */
export async function loadKeySealer(directory: string, options: { readonly mayMake: boolean }): Promise<KeySealer> {
  const file = join(directory, "sealing.key");
  const keys = (): readonly Buffer[] =>
    [join(directory, "sealing.next.key"), file].map(readKey).filter((key) => key !== undefined);
  if (keys().length === 0) {
    if (!options.mayMake)
      throw new SigningKeysError(`${file}: file is missing, and the signing keys in the database are sealed with it`);
    await makeSealingKeyFile(file);
  }
  if (keys().length === 0) throw new SigningKeysError(`${file}: file is missing`);
  return {
    seal: (kid, privateKey) => {
      const [newest] = keys();
      if (newest === undefined) throw new SigningKeysError(`${file}: file is missing`);
      return seal(newest, privateKey.export({ type: "pkcs8", format: "der" }), kid);
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

function openWith(key: Buffer, kid: string, sealed: Uint8Array): KeyObject | undefined {
  try {
    return createPrivateKey({ key: openSealed(key, sealed, kid), format: "der", type: "pkcs8" });
  } catch (fault) {
    if (fault instanceof SealingError) return undefined; // another key has sealed it, or another kid's is meant
    throw fault;
  }
}

function readKey(file: string): Buffer | undefined {
  const keys = readSealingKeys(file);
  if (keys !== undefined && keys.length > 1) throw new SealingError(`${file}: holds more than one key`);
  return keys?.[0];
}
