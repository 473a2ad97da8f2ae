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
  /** A ring in the order in which they began: a set would be made anew every few calls. */
  readonly #ring = new Place();
  #totalBytes = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: { readonly timeoutMs: number; readonly budgetBytes: number }) {
    this.#timeoutMs = options.timeoutMs;
    this.#budgetBytes = options.budgetBytes;
  }

  /** Begins with a request. `cut` is called at most once, when it takes too long or too much. */
  begin(cut: () => void): UnreadRequest {
    // one timer for all: most requests are read in the same moment
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#timeoutMs / 10).unref();
    const entry = new Entry(this.#noteBytes, cut);
    entry.joinBefore(this.#ring);
    return entry;
  }

  readonly #noteBytes = (bytes: number): void => {
    this.#totalBytes += bytes;
    while (this.#totalBytes > this.#budgetBytes && this.#ring.next instanceof Entry) this.#ring.next.cut();
  };

  #sweep(): void {
    const overdueMs = performance.now() - this.#timeoutMs;
    for (let oldest = this.#ring.next; oldest instanceof Entry; oldest = this.#ring.next) {
      if (oldest.beganMs > overdueMs) return;
      oldest.cut();
    }
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

/** A place in a ring; alone, it is its own neighbour. */
class Place {
  next: Place = this;
  #previous: Place = this;

  joinBefore(place: Place): void {
    this.next = place;
    this.#previous = place.#previous;
    this.#previous.next = this;
    place.#previous = this;
  }

  /** Answers whether it was in a ring with others. */
  leave(): boolean {
    if (this.next === this) return false;
    this.#previous.next = this.next;
    this.next.#previous = this.#previous;
    this.next = this;
    this.#previous = this;
    return true;
  }
}

class Entry extends Place implements UnreadRequest {
  readonly beganMs = performance.now();
  readonly #noteBytes: (bytes: number) => void;
  readonly #cut: () => void;
  #bytes = 0;

  constructor(noteBytes: (bytes: number) => void, cut: () => void) {
    super();
    this.#noteBytes = noteBytes;
    this.#cut = cut;
  }

  count(bytes: number): void {
    if (this.next === this) return;
    this.#bytes += bytes;
    this.#noteBytes(bytes);
  }

  read(): void {
    if (this.leave() && this.#bytes > 0) this.#noteBytes(-this.#bytes);
  }

  cut(): void {
    if (this.next === this) return;
    this.read();
    this.#cut();
  }
}
