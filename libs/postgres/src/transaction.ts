import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PooledConnection } from "./pool.ts";
import type { SqlClient } from "./sql-client.ts";
import { sqlStateOf } from "./sql-state.ts";

/** How a transaction runs. */
export interface TransactionOptions {
  /** Default "read committed". */
  readonly isolation?: "read committed" | "repeatable read" | "serializable";
  /** Default false. */
  readonly readOnly?: boolean;
  /** How often it is tried when the server reports a serialization failure or a deadlock. Default 5. */
  readonly attempts?: number;
}

/**
 * Runs `run` in one transaction: commits what it did when it returns, undoes it when it throws. A serialization failure or a
 * deadlock runs it again, so it must have no effect but through `tx`. `tx` is refused once the transaction has ended. Throws,
 * and has changed nothing, if the server rolled back what was to be committed; only a connection lost during the commit itself
 * leaves the outcome unknown.
 */
export async function withTransaction<T>(
  pool: Pool,
  run: (tx: SqlClient) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const attempts = options.attempts ?? 5;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(pool, run, options);
    } catch (error) {
      const state = sqlStateOf(error);
      if (attempt >= attempts || (state !== "40001" && state !== "40P01")) throw error;
      await sleep(randomInt(5, 10 * 2 ** attempt));
    }
  }
}

async function once<T>(pool: Pool, run: (tx: SqlClient) => Promise<T>, options: TransactionOptions): Promise<T> {
  const connection = await pool.connect();
  let broken = true;
  try {
    await connection.query(
      `begin isolation level ${options.isolation ?? "read committed"} ${options.readOnly === true ? "read only" : "read write"}`,
    );
    const transaction = openTransaction(connection);
    try {
      const result = await run(transaction.tx);
      transaction.end();
      await connection.commit();
      broken = false;
      return result;
    } catch (error) {
      transaction.end();
      // outside a transaction, as after a failed commit, this is a harmless warning
      broken = await connection.query("rollback").then(
        () => false,
        () => true,
      );
      throw error;
    }
  } finally {
    connection.release(broken);
  }
}

function openTransaction(connection: PooledConnection): { tx: SqlClient; end(): void } {
  let ended = false;
  return {
    tx: {
      async query(text, values) {
        if (ended) throw new Error("this transaction has ended");
        return connection.query(text, values);
      },
    },
    end() {
      ended = true;
    },
  };
}
