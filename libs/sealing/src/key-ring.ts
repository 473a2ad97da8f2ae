import { createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { openSealed, seal } from "./seal.ts";
import { SealingError } from "./sealing-error.ts";

const ID_BYTES = 8;

/** Several sealing keys: the first seals, every one opens what it has sealed. Adding a first one and sealing anew rotates the key. */
export interface KeyRing {
  /** AES-256-GCM, tied to `about`, with the key's id before it. */
  seal(plaintext: Uint8Array, about: string): Buffer;
  /** What was sealed with any of the keys. Throws SealingError for an unknown key, another `about`, and anything that was changed. */
  open(sealed: Uint8Array, about: string): Buffer;
  /** Whether it was sealed with the key that seals now. */
  isCurrent(sealed: Uint8Array): boolean;
  /** A digest of a text that holds a secret: without the keys nobody can try guesses on it. */
  digest(text: string): Buffer;
  /** Whether a digest is of this text; false, too, where its key is gone. */
  isDigestOf(digest: Uint8Array, text: string): boolean;
}

/** A ring of keys of 32 bytes each. Throws SealingError where there is none. */
export function createKeyRing(keys: readonly Uint8Array[]): KeyRing {
  const entries = keys.map((key) => ({
    id: createHash("sha256").update("sandgate sealing key id\n").update(key).digest().subarray(0, ID_BYTES),
    key,
    // a key of its own: the sealing key does one thing
    digestKey: new Uint8Array(hkdfSync("sha256", key, "", "sandgate request digest", 32)),
  }));
  const [current] = entries;
  if (current === undefined) throw new SealingError("there is no sealing key");
  const find = (sealed: Uint8Array) => entries.find(({ id }) => id.equals(sealed.subarray(0, ID_BYTES)));
  const digestWith = ({ id, digestKey }: (typeof entries)[number], text: string): Buffer =>
    Buffer.concat([id, createHmac("sha256", digestKey).update(text).digest()]);
  return {
    seal: (plaintext, about) => Buffer.concat([current.id, seal(current.key, plaintext, about)]),
    open: (sealed, about) => {
      const entry = find(sealed);
      if (entry === undefined) throw new SealingError("sealed with a key that is not in the key file");
      return openSealed(entry.key, sealed.subarray(ID_BYTES), about);
    },
    isCurrent: (sealed) => find(sealed) === current,
    digest: (text) => digestWith(current, text),
    isDigestOf: (digest, text) => {
      const entry = find(digest);
      if (entry === undefined) return false;
      const expected = digestWith(entry, text);
      return expected.length === digest.length && timingSafeEqual(expected, digest);
    },
  };
}
