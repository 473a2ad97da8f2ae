import pg from "pg";
import {
  type ConnectionIdentity,
  type ConnectionSettings,
  type ConnectionTimeouts,
  defaultTimeouts,
  requireIdentity,
  toClientConfig,
} from "./connection-settings.ts";
import type { SqlClient, SqlResult } from "./sql-client.ts";
import { leavesConnectionUsable } from "./sql-state.ts";

/** What a pool needs to know. */
export interface PoolOptions extends ConnectionIdentity {
  readonly connection: ConnectionSettings;
  /** Default 8. */
  readonly maxConnections?: number;
  readonly timeouts?: Partial<ConnectionTimeouts>;
  /** Told of idle connections that broke; they are replaced. */
  readonly logger?: { warn(fields: object, message: string): void };
}

/** A connection that was taken from a pool and must be given back. */
export interface PooledConnection extends SqlClient {
  /** Commits; throws if the server rolled back instead because a statement had failed, which it reports as a success. */
  commit(): Promise<void>;
  /** Gives the connection back; a broken one is closed instead of being handed out again. */
  release(broken: boolean): void;
}

/** Connections of one service, each with the service's role and schema. */
export interface Pool extends SqlClient {
  /** Takes a connection. Prefer `withTransaction`. */
  connect(): Promise<PooledConnection>;
  /** Resolves when the database answers; for readiness checks. */
  check(): Promise<void>;
  /** Waits for connections in use, then closes all. Idempotent. */
  close(): Promise<void>;
}

/**
 * Makes a pool. It connects when it is first used. A connection that cannot have the role and the schema is never handed
 * out: the query that wanted it fails.
 */
export function createPool(options: PoolOptions): Pool {
  const identity = { role: options.role, schema: options.schema };
  const pool = new pg.Pool({
    ...toClientConfig(options.connection, identity, { ...defaultTimeouts, ...options.timeouts }),
    max: options.maxConnections ?? 8,
    idleTimeoutMillis: 30_000,
    // pg-pool awaits this hook and discards the connection if it rejects
    onConnect: (client) => requireIdentity(client, identity),
  });
  pool.on("error", (error) => options.logger?.warn({ err: error }, "idle database connection lost"));

  let closed: Promise<void> | undefined;
  const connect = async (): Promise<PooledConnection> => {
    const client = await pool.connect();
    // while a connection is out, pg-pool does not listen: its death reaches the running query and the next one
    const ignore = () => {};
    client.on("error", ignore);
    return {
      query: (text, values) => run(client, text, values),
      async commit() {
        const { command } = await client.query("commit");
        if (command !== "COMMIT")
          throw new Error("the transaction was rolled back because a statement in it had failed");
      },
      release(broken) {
        client.removeListener("error", ignore);
        client.release(broken);
      },
    };
  };
  const query: SqlClient["query"] = async (text, values) => {
    const connection = await connect();
    let broken = false;
    try {
      return await connection.query(text, values);
    } catch (error) {
      broken = !leavesConnectionUsable(error);
      throw error;
    } finally {
      connection.release(broken);
    }
  };
  return {
    connect,
    query,
    async check() {
      await query("select 1");
    },
    close() {
      closed ??= pool.end();
      return closed;
    },
  };
}

async function run<R extends object>(client: pg.ClientBase, text: string, values?: unknown[]): Promise<SqlResult<R>> {
  const { rows, rowCount } = await client.query<R>(text, values);
  return { rows, rowCount: rowCount ?? 0 };
}
