/** Time, as a dependency. */
export interface Timers {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after the time, or at once when the signal aborts; it does not reject. */
  wait(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's own time. */
export const systemTimers: Timers = {
  now: () => Date.now(),
  wait: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(delayMs, 0x7fffffff));
      signal?.addEventListener("abort", done, { once: true });
    }),
};
