/** What shows that something happens in a sandbox. */
export interface ActivitySigns {
  /** Whether something is under way, however quiet. */
  readonly isBusy: () => boolean;
  /** Numbers of which one changes when something happened. */
  readonly counts: () => readonly number[];
}

/**
 * Says for how long nothing has happened. It looks only when it is asked: what happened since it was last asked counts as happening now, so
 * a sandbox is never taken for idle sooner than it is.
 */
export class Activity {
  readonly #signs: ActivitySigns;
  readonly #now: () => number;
  #lastMs: number;
  #counts = "";

  constructor(options: { readonly signs: ActivitySigns; readonly now: () => number }) {
    this.#signs = options.signs;
    this.#now = options.now;
    this.#lastMs = options.now();
  }

  /** For how many milliseconds nothing has happened; 0 when something did since the last call, or is under way. */
  idleMs(): number {
    const counts = this.#signs.counts().join();
    if (this.#signs.isBusy() || counts !== this.#counts) this.#lastMs = this.#now();
    this.#counts = counts;
    return Math.max(0, this.#now() - this.#lastMs);
  }
}
