const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** How many random bytes an id is made from. */
export const providerIdBytes = 20;

/** The provider id that `providerIdBytes` random bytes make: "prv-" and 20 characters, 100 bits. */
export function formatProviderId(random: Uint8Array): string {
  if (random.length !== providerIdBytes) throw new TypeError("a provider id is made from 20 bytes");
  return `prv-${Array.from(random, (byte) => alphabet[byte & 31]).join("")}`;
}
