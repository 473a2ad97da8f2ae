import type { Admission, Change } from "./admission.ts";

/** One way to keep ports guarded in the kernel. Everything rejects with FirewallError; one thing at a time. */
export interface GuardBackend {
  /** Makes the guard new, whatever is left of it, and lets in these alone. */
  restore(admissions: readonly Admission[]): Promise<void>;
  /** Brings addresses in and out. After a rejection nobody knows what was done, and nothing more of it will be. */
  change(changes: readonly Change[]): Promise<void>;
  /** The guard as the kernel has it, without who is in: the same text as long as it is the same guard. */
  list(): Promise<string>;
  /** Calls back when the guard may have changed, until it is stopped. */
  follow(onChange: () => void): { stop(): Promise<void> };
  /** How often to look for what `follow` does not tell. */
  readonly checkMs: number;
  /** Ends the processes; the guard stays. */
  stop(): Promise<void>;
}
