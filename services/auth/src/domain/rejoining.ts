import { mayHoldCredentials, type SandboxRecord } from "./sandbox-record.ts";

/** What becomes of a supervisor that has proved a key: new credentials, a refusal, or the discovery that the key has a clone. */
export type RejoinDecision = "rejoin" | "refuse" | "cloned";

/**
 * Decides on a rejoin. Each rejoin of a supervisor counts one more than its last; a count that the register has seen already comes
 * from a second holder of the key.
 */
export function decideRejoin(
  record: SandboxRecord,
  rejoin: { readonly keyThumbprint: string; readonly rejoinCount: bigint },
): RejoinDecision {
  if (!mayHoldCredentials(record) || record.keyThumbprint !== rejoin.keyThumbprint) return "refuse";
  return rejoin.rejoinCount > record.rejoinCount ? "rejoin" : "cloned";
}
