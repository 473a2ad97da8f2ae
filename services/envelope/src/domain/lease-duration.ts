/**
 * How long a lease lasts: until the token expires, and at most `maxMs` (EW-13). In compatible mode until the token expires and at least
 * `minMs` (E-41). Undefined when that is no time at all.
 */
export function leaseDurationMs(options: {
  readonly expiresAtMs: number;
  readonly nowMs: number;
  readonly bound: { readonly maxMs: number } | { readonly minMs: number };
}): number | undefined {
  const left = options.expiresAtMs - options.nowMs;
  const { bound } = options;
  const durationMs = Math.min("maxMs" in bound ? Math.min(left, bound.maxMs) : Math.max(left, bound.minMs), LONGEST_MS);
  return durationMs > 0 ? durationMs : undefined;
}

/** Timers count no further. */
const LONGEST_MS = 2 ** 31 - 1;
