import type { Firewall } from "./firewall.ts";

/** Guards nothing: for development on a machine whose firewall is not to be touched. */
export const noFirewall: Firewall = {
  set: async () => undefined,
  check: () => undefined,
  stop: async () => undefined,
};
