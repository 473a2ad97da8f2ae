import type { Phase } from "@sandgate/api/sandbox";

/** A phase as it is typed and shown. */
export type PhaseName = Exclude<keyof typeof Phase, "UNSPECIFIED">;

/** Every phase, in the order of a life. */
const phaseNames = [
  ...["PENDING", "PROVISIONING", "STARTING", "READY", "COMPLETED", "FAILED"],
  ...["STOPPING", "STOPPED", "DELETING", "DELETED"],
] as const satisfies readonly PhaseName[];

/** The phase that a word means, in whatever case; undefined for a word that means none. */
export function parsePhaseName(word: string): PhaseName | undefined {
  return phaseNames.find((name) => name === word.toUpperCase());
}
