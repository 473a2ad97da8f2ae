const prefix = "sandgate-placeholder-";
const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
const pattern = new RegExp(`${prefix}[${alphabet}]{32}`);

/** How many random bytes a placeholder is made from. */
export const placeholderBytes = 32;

/** What a workload sends in the place of a secret that it never sees: 160 bits that nobody guesses, and no secret. */
export function newPlaceholder(random: Uint8Array): string {
  if (random.length !== placeholderBytes) throw new TypeError("a placeholder is made from 32 bytes");
  return `${prefix}${Array.from(random, (byte) => alphabet[byte & 31]).join("")}`;
}

/** What looks like a placeholder in a text: whole where there is one, else the part that marks it. Undefined where there is none. */
export function findPlaceholder(text: string): string | undefined {
  // The marker alone counts: one that was cut or spoilt is still meant as one.
  return pattern.exec(text)?.[0] ?? (text.toLowerCase().includes(prefix) ? prefix : undefined);
}
