/** How long to wait before the next attempt. */
export interface Backoff {
  /** Milliseconds: doubles from `firstMs` to `maxMs`, less up to half of itself by chance. */
  next(): number;
  /** After a success: begins anew. */
  reset(): void;
}

/** Makes a backoff. `random` answers 0 to 1. */
export function createBackoff(options: { firstMs: number; maxMs: number; random: () => number }): Backoff {
  let delayMs = options.firstMs;
  return {
    next: () => {
      const answer = delayMs * (1 - options.random() / 2);
      delayMs = Math.min(delayMs * 2, options.maxMs);
      return answer;
    },
    reset: () => {
      delayMs = options.firstMs;
    },
  };
}
