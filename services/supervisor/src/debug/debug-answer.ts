/** What a supervisor answers to `debug-rpc`. */
export interface DebugAnswer {
  /** A status of google.rpc.Code: 0 is OK, 7 PERMISSION_DENIED. */
  readonly code: number;
  /** The result, or the status and why. */
  readonly output: string;
}
