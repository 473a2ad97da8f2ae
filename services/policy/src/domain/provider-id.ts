import { randomBytes } from "node:crypto";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** A new provider id: "prv-" and 20 characters, 100 bits. */
export function newProviderId(): string {
  return `prv-${Array.from(randomBytes(20), (byte) => alphabet[byte & 31]).join("")}`;
}
