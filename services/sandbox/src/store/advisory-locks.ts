import type { Pool, PooledConnection } from "@sandgate/postgres";
import type { SandboxLock } from "./sandbox-store.ts";

/**
 * Locks on sandboxes that end with the process, on one connection for all of them. A lost connection loses the locks: writes
 * are therefore bound to a row's version too.
 */
export class AdvisoryLocks {
  readonly #pool: Pool;
  readonly #held = new Set<string>();
  #connection: PooledConnection | undefined;
  /** The connection runs one statement at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Undefined when somebody has the lock, also when it is this process. */
  async tryLock(sandboxId: string): Promise<SandboxLock | undefined> {
    if (this.#held.has(sandboxId)) return undefined;
    this.#held.add(sandboxId);
    try {
      if (await this.#query("select pg_try_advisory_lock(hashtextextended('sandbox ' || $1, 0)) as done", sandboxId))
        return { release: () => this.#release(sandboxId) };
    } catch (error) {
      this.#held.delete(sandboxId);
      throw error;
    }
    this.#held.delete(sandboxId);
    return undefined;
  }

  /** Gives the connection back, and with it every lock that is left. */
  async close(): Promise<void> {
    await this.#turn.catch(() => {}); // whoever waits for that statement is told of its failure
    this.#connection?.release(true);
    this.#connection = undefined;
  }

  async #release(sandboxId: string): Promise<void> {
    try {
      await this.#query("select pg_advisory_unlock(hashtextextended('sandbox ' || $1, 0)) as done", sandboxId);
    } finally {
      this.#held.delete(sandboxId);
    }
  }

  #query(text: string, sandboxId: string): Promise<boolean> {
    const turn = this.#turn.then(
      () => this.#queryNow(text, sandboxId),
      () => this.#queryNow(text, sandboxId),
    );
    this.#turn = turn;
    return turn;
  }

  async #queryNow(text: string, sandboxId: string): Promise<boolean> {
    this.#connection ??= await this.#pool.connect();
    try {
      const { rows } = await this.#connection.query<{ done: boolean }>(text, [sandboxId]);
      return rows[0]?.done === true;
    } catch (error) {
      this.#connection.release(true);
      this.#connection = undefined;
      throw error;
    }
  }
}
