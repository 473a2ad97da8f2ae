import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SealingError } from "./sealing-error.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/**
 * Seals with AES-256-GCM and ties the result to `about`: nonce, tag and ciphertext in one. The nonce is random, so a key is good for
 * 2^32 of them (NIST SP 800-38D, 8.3): more than any suite has secrets.
 */
export function seal(key: Uint8Array, plaintext: Uint8Array, about: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(about));
  const sealed = [cipher.update(plaintext), cipher.final()];
  return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]);
}

/** What was sealed. Throws SealingError for another key, another `about`, and anything that was changed. */
export function openSealed(key: Uint8Array, sealed: Uint8Array, about: string): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(about))
      .setAuthTag(tag);
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new SealingError("not sealed with this key, or not for this", { cause });
  }
}
