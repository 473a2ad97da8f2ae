/**
 * Hands values from one side to the other, one at a time: a giver waits until the taker wants the next one, so that neither
 * side can flood the other.
 */
export class HandOff<T> {
  #offered: { readonly value: T; readonly taken: (accepted: boolean) => void } | undefined;
  #wanted: (() => void) | undefined;
  #over: { readonly error: Error | undefined } | undefined;

  /** Resolves true when the value was taken, false when it never will be. One `give` at a time. */
  give(value: T): Promise<boolean> {
    if (this.#over !== undefined) return Promise.resolve(false);
    if (this.#offered !== undefined) throw new TypeError("the last value has not been taken yet");
    return new Promise((taken) => {
      this.#offered = { value, taken };
      this.#wanted?.();
    });
  }

  /** Nothing more is given: the taker ends after what is offered now, with the error if there is one. */
  end(error?: Error): void {
    this.#over ??= { error };
    this.#wanted?.();
  }

  /** Nothing more is taken: what is offered, and everything later, is refused. */
  refuse(): void {
    this.#over ??= { error: undefined };
    this.#offered?.taken(false);
    this.#offered = undefined;
    this.#wanted?.();
  }

  /** The values in order. Ends with `end` and `refuse`, or when the consumer leaves. */
  async *take(): AsyncGenerator<T> {
    try {
      for (;;) {
        const offered = this.#offered;
        if (offered !== undefined) {
          this.#offered = undefined;
          offered.taken(true);
          yield offered.value;
        } else if (this.#over !== undefined) {
          if (this.#over.error !== undefined) throw this.#over.error;
          return;
        } else
          await new Promise<void>((resolve) => {
            this.#wanted = resolve;
          });
      }
    } finally {
      this.refuse();
    }
  }
}
