import { randomBytes } from "node:crypto";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** A new decision id: "dec-" and 20 characters, 100 random bits. */
export function newDecisionId(): string {
  let id = "dec-";
  for (const byte of randomBytes(20)) id += alphabet[byte & 31];
  return id;
}
