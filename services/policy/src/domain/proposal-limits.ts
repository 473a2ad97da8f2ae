/** How much may be proposed. A sandbox can fill its own part alone, and only as fast as a person could still read. */
export const proposalLimits = {
  pendingOfSandbox: 20,
  pending: 100,
  bySandboxPerHour: 60,
} as const;

/** What one request may propose. */
export const submissionLimits = {
  rules: 20,
  entries: 100,
  proposals: 50,
  decisions: 100,
  evidence: 50,
  reason: 1000,
} as const;
