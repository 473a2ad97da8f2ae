/** Sandbox ids. */
export const sandboxIdPattern = /^sbx-[a-z2-7]{20}$/;

/** Decision ids. */
export const decisionIdPattern = /^dec-[a-z2-7]{20}$/;

/** Names of runs of a proxy process. */
export const proxyRunIdPattern = /^[A-Za-z0-9-]{1,64}$/;

/** Proposal ids. */
export const proposalIdPattern = /^prp-[a-z2-7]{20}$/;

/** UUIDs, in any version and case. */
export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** The proposal id that 20 random bytes make: "prp-" and 20 characters, 100 bits. */
export function formatProposalId(random: Uint8Array): string {
  if (random.length !== 20) throw new TypeError("a proposal id is made from 20 bytes");
  return `prp-${Array.from(random, (byte) => alphabet[byte & 31]).join("")}`;
}
