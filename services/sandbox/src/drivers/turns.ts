/** Does what is asked for under one name one after the other, and under different names side by side. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does the work when everything that was asked for before under this name has ended, in whatever way. */
  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(name) ?? Promise.resolve()).then(work, work);
    this.#last.set(name, turn);
    const forget = (): void => {
      if (this.#last.get(name) === turn) this.#last.delete(name);
    };
    turn.then(forget, forget);
    return turn;
  }

  /** Resolves when all that has been asked for has ended. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#last.values());
  }
}
