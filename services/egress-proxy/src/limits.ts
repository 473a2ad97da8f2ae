/** What one sandbox may take, and how long the proxy waits for others. */
export interface Limits {
  /** Of a request or an answer, start line included. */
  readonly headBytes: number;
  readonly headFields: number;
  /** From a head's first byte to its last. */
  readonly headTimeoutMs: number;
  /** Between two requests on one connection. */
  readonly keepAliveTimeoutMs: number;
  /** From the answer to CONNECT to a whole ClientHello or request. */
  readonly firstBytesTimeoutMs: number;
  readonly resolveTimeoutMs: number;
  /** For all addresses together. */
  readonly dialTimeoutMs: number;
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number;
  readonly connectionsPerSandbox: number;
  /** How long decisions go on by the policies that are known, when the Policy service is not heard; then what is open is cut. */
  readonly policyGraceMs: number;
  /** Tokens of one sandbox that may fail to verify within a second; more are refused unseen. */
  readonly failedTokensPerSecond: number;
}

/** The limits of a proxy whose configuration names none. */
export const defaultLimits: Limits = {
  headBytes: 16_384,
  headFields: 200,
  headTimeoutMs: 10_000,
  keepAliveTimeoutMs: 60_000,
  firstBytesTimeoutMs: 10_000,
  resolveTimeoutMs: 5_000,
  dialTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  connectionsPerSandbox: 512,
  policyGraceMs: 10_000,
  failedTokensPerSecond: 50,
};
