const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** How many random bytes an id is made from. */
export const sandboxIdBytes = 20;

/** The sandbox id that `sandboxIdBytes` random bytes make: "sbx-" and 20 characters, 100 bits. */
export function formatSandboxId(random: Uint8Array): string {
  if (random.length !== sandboxIdBytes) throw new TypeError("a sandbox id is made from 20 bytes");
  return `sbx-${Array.from(random, (byte) => alphabet[byte & 31]).join("")}`;
}

/** The name of a sandbox whose creator gave it none. */
export function nameOfId(sandboxId: string): string {
  return `box-${sandboxId.slice("sbx-".length, "sbx-".length + 8)}`;
}
