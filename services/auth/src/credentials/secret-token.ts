import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** What a secret is for: its first letters, by which secret scanners and people tell it. */
export type SecretPrefix = "sgr" | "sgi" | "sgk";

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const bodyLength = 43; // 62^43 > 2^256
const checksumLength = 6; // 62^6 > 2^32

/** A new secret of 256 random bits: `<prefix>_`, 43 letters and digits, and 6 of a CRC-32 over all before them. */
export function newSecretToken(prefix: SecretPrefix): string {
  const text = `${prefix}_${inBase62(BigInt(`0x${randomBytes(32).toString("hex")}`), bodyLength)}`;
  return text + checksumOf(text);
}

/** The SHA-256 that a secret is kept as; undefined for a text that is no secret of this kind, which nobody need look up. */
export function hashSecretToken(prefix: SecretPrefix, text: string): Buffer | undefined {
  if (text.length !== prefix.length + 1 + bodyLength + checksumLength || !text.startsWith(`${prefix}_`))
    return undefined;
  const unchecked = text.slice(0, -checksumLength);
  return text === unchecked + checksumOf(unchecked) ? createHash("sha256").update(text).digest() : undefined;
}

function checksumOf(text: string): string {
  return inBase62(BigInt(crc32(text)), checksumLength);
}

function inBase62(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest /= 62n) text = (digits[Number(rest % 62n)] ?? "") + text;
  return text;
}
