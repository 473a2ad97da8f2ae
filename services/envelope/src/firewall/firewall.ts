import type { ClientAddress } from "../domain/client-address.ts";

/** What keeps the guarded ports shut, but for those who are let in. */
export interface Firewall {
  /**
   * Lets an address in until the deadline, whatever was said of it before; undefined: no more. Resolves when it is so, and rejects with
   * FirewallError when it could not be done; what was to be shut is then tried again until it is shut.
   */
  set(address: ClientAddress, deadlineMs: number | undefined): Promise<void>;
  /** Throws while the guarded ports may not be as they should. */
  check(): void;
  /** Lets nobody in any more, and leaves the guard as it is: shut. */
  stop(): Promise<void>;
}
