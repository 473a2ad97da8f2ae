/** What watchers wait for. */
export const topics = {
  /** Any sandbox's policy: set, or gone with its sandbox. */
  policies: "policies",
  /** Any sandbox's enforcement. */
  enforcements: "enforcements",
  /** One sandbox's policy or enforcement. */
  sandbox: (sandboxId: string): string => `sandbox/${sandboxId}`,
  /** One sandbox's decisions. */
  decisions: (sandboxId: string): string => `decisions/${sandboxId}`,
} as const;
