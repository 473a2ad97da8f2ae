interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

/**
 * Lets a few run at once and a bounded number wait, in turn by whom they come from. When no more may wait, the newest of whoever
 * has most waiting is refused: one who floods is in their own way alone.
 */
export class FairQueue {
  readonly #concurrency: number;
  readonly #maximumWaiting: number;
  /** In the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  #running = 0;
  #count = 0;

  constructor(options: { readonly concurrency: number; readonly maximumWaiting: number }) {
    this.#concurrency = options.concurrency;
    this.#maximumWaiting = options.maximumWaiting;
  }

  /** Runs `work` when it is its turn; answers undefined when it is refused, or when the signal aborts before its turn. */
  async run<T>(from: string, signal: AbortSignal, work: () => Promise<T>): Promise<T | undefined> {
    if (this.#running < this.#concurrency) this.#running += 1;
    else if (!(await this.#wait(from, signal))) return undefined;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#startNext();
    }
  }

  async #wait(from: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const entry: Waiting = { start: () => resolve(true), refuse: () => resolve(false) };
    const leave = (): void => {
      if (this.#remove(from, entry)) entry.refuse();
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#waiting.set(from, [...(this.#waiting.get(from) ?? []), entry]);
    this.#count += 1;
    if (this.#count > this.#maximumWaiting) this.#refuseOne();
    const isStarted = await promise;
    signal.removeEventListener("abort", leave);
    return isStarted;
  }

  #startNext(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [from, [entry, ...rest]] = next;
    this.#waiting.delete(from); // whoever had a turn goes to the end
    if (rest.length > 0) this.#waiting.set(from, rest);
    if (entry === undefined) return;
    this.#count -= 1;
    this.#running += 1;
    entry.start();
  }

  #refuseOne(): void {
    let most: readonly [string, readonly Waiting[]] = ["", []];
    for (const each of this.#waiting) if (each[1].length > most[1].length) most = each;
    const newest = most[1].at(-1);
    if (newest !== undefined && this.#remove(most[0], newest)) newest.refuse();
  }

  #remove(from: string, entry: Waiting): boolean {
    const entries = this.#waiting.get(from) ?? [];
    const rest = entries.filter((each) => each !== entry);
    if (rest.length === entries.length) return false;
    if (rest.length > 0) this.#waiting.set(from, rest);
    else this.#waiting.delete(from);
    this.#count -= 1;
    return true;
  }
}
