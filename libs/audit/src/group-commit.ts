/** The log cannot take a record now: its queue is full, the database fails, or it is closed. Refuse what was to be recorded. */
export class AuditUnavailableError extends Error {
  override readonly name = "AuditUnavailableError";
}

interface Entry {
  readonly encoded: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes all that queue up while the last write runs in one write. */
export class GroupCommit {
  readonly #write: (encoded: readonly string[]) => Promise<void>;
  readonly #queueLimit: number;
  readonly #batchLimit: number;
  #queue: Entry[] = [];
  #writing = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: {
    readonly write: (encoded: readonly string[]) => Promise<void>;
    /** Records that may wait, those being written included. */
    readonly queueLimit: number;
    /** Records in one write. */
    readonly batchLimit: number;
  }) {
    this.#write = options.write;
    this.#queueLimit = options.queueLimit;
    this.#batchLimit = options.batchLimit;
  }

  /** Resolves when the write that holds the record is done; rejects if that write fails, the queue is full or it is closed. */
  add(encoded: string): Promise<void> {
    if (this.#closed) return Promise.reject(new AuditUnavailableError("the audit log is closed"));
    if (this.#queue.length + this.#writing >= this.#queueLimit)
      return Promise.reject(new AuditUnavailableError("too many audit records are waiting"));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ encoded, resolve, reject });
    this.#running ??= this.#run();
    return promise;
  }

  /** Takes nothing more; resolves when all that was taken is written or rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#batchLimit);
      this.#writing = batch.length;
      try {
        await this.#write(batch.map(({ encoded }) => encoded));
        for (const { resolve } of batch) resolve();
      } catch (cause) {
        for (const { reject } of batch) reject(new AuditUnavailableError("the audit log cannot be written", { cause }));
      }
      this.#writing = 0;
    }
    this.#running = undefined;
  }
}
