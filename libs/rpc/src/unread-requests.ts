/** A request that has not been read to the point where somebody is asked who sent it. */
export interface UnreadRequest {
  /** Counts bytes of its body. */
  count(bytes: number): void;
  /** It has been read; nothing cuts it any more. */
  read(): void;
}

/**
 * Bounds what strangers can make us hold: a request must have been read after `timeoutMs`, and when all unread bodies together
 * exceed `budgetBytes`, the oldest are cut first: those are the ones that somebody sends slowly.
 */
export class UnreadRequests {
  readonly #timeoutMs: number;
  readonly #budgetBytes: number;
  /** In the order in which they began. */
  readonly #unread = new Set<{ readonly beganMs: number; bytes: number; readonly cut: () => void }>();
  #totalBytes = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: { readonly timeoutMs: number; readonly budgetBytes: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#budgetBytes = options.budgetBytes;
  }

  /** Begins with a request. `cut` is called at most once, when it takes too long or too much. */
  begin(cut: () => void): UnreadRequest {
    const leave = (): boolean => {
      if (!this.#unread.delete(entry)) return false;
      this.#totalBytes -= entry.bytes;
      return true;
    };
    const entry = {
      beganMs: performance.now(),
      bytes: 0,
      cut: () => {
        if (leave()) cut();
      },
    };
    this.#unread.add(entry);
    // one timer for all: most requests are read in the same moment
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#timeoutMs / 10).unref();
    return {
      count: (bytes) => {
        if (!this.#unread.has(entry)) return;
        entry.bytes += bytes;
        this.#totalBytes += bytes;
        for (const oldest of this.#unread) {
          if (this.#totalBytes <= this.#budgetBytes) return;
          oldest.cut();
        }
      },
      read: () => void leave(),
    };
  }

  #sweep(): void {
    const overdueMs = performance.now() - this.#timeoutMs;
    for (const oldest of this.#unread) {
      if (oldest.beganMs > overdueMs) return;
      oldest.cut();
    }
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
