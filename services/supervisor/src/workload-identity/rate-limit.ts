/** Lets so many through at once, and then so many a second. */
export class RateLimit {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  constructor(options: { readonly burst: number; readonly perSecond: number; readonly now: () => number }) {
    this.#burst = options.burst;
    this.#perMs = options.perSecond / 1000;
    this.#now = options.now;
    this.#tokens = options.burst;
    this.#filledAt = options.now();
  }

  /** Takes one and answers 0; where there is none, answers in how many milliseconds there will be. */
  take(): number {
    const now = this.#now();
    // a clock that was set back gives nothing and takes nothing
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
    if (this.#tokens < 1) return (1 - this.#tokens) / this.#perMs;
    this.#tokens -= 1;
    return 0;
  }
}
