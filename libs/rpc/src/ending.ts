/** What `unless` answers when the end came first. */
export const ended: unique symbol = Symbol("ended");

/**
 * The end of something long-lived, for those who wait for other things meanwhile. Unlike Promise.race with a promise of the end it keeps nothing
 * of what they were given: that would hold every message of a stream until its end.
 */
export class Ending {
  #isOver = false;
  #waiting = new Set<() => void>();

  /** It is over. */
  end(): void {
    this.#isOver = true;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** What the promise comes to, or `ended` where the end comes first. */
  async unless<T>(promise: Promise<T>): Promise<T | typeof ended> {
    if (this.#isOver) {
      promise.catch(() => {}); // nobody waits for it any more
      return ended;
    }
    let wake: () => void = () => {};
    const over = new Promise<typeof ended>((resolve) => {
      wake = () => resolve(ended);
    });
    this.#waiting.add(wake);
    try {
      return await Promise.race([promise, over]);
    } finally {
      this.#waiting.delete(wake);
    }
  }
}
