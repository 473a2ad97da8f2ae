import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { createPool, migrate, type Pool, prepareDatabase, roleOf, type SocketConnection } from "@sandgate/postgres";
import pg from "pg";
import { inject } from "vitest";

/** A database of one test file. */
export interface ThrowAwayDatabase {
  /** The admin's way in. */
  readonly connection: SocketConnection;
  /** A pool with a service's role and schema; closed by `drop`. */
  createPool(service: string): Pool;
  /** Runs a service's migrations from a directory. */
  migrate(service: string, directory: string): Promise<void>;
  /** Runs statements as superuser: to cut connections, or to do what a service must not. */
  runAsAdmin(statement: string, values?: unknown[]): Promise<void>;
  /** Closes its pools, disconnects everyone else and removes the database. Idempotent. */
  drop(): Promise<void>;
}

/**
 * Makes an empty database with a random name on the run's PostgreSQL, with the roles and schemas of the services. Drop it in
 * `afterAll`.
 */
export async function createThrowAwayDatabase(
  options: {
    readonly services?: readonly string[];
    /** Another server than the run's, by its admin's way in. */
    readonly server?: SocketConnection | undefined;
  } = {},
): Promise<ThrowAwayDatabase> {
  const admin = options.server ?? (await askForServer());
  const name = `test_${randomBytes(8).toString("hex")}`;
  await runAsAdmin(admin, `create database ${name}`);
  const connection = { ...admin, database: name };
  await prepareDatabase({ connection, services: options.services ?? [] });
  const pools: Pool[] = [];
  let dropped: Promise<void> | undefined;
  return {
    connection,
    createPool(service) {
      const pool = createPool({ connection, role: roleOf(service), schema: service });
      pools.push(pool);
      return pool;
    },
    async migrate(service, directory) {
      await migrate({ connection, role: roleOf(service), schema: service, directory });
    },
    runAsAdmin: (statement, values) => runAsAdmin(connection, statement, values),
    drop() {
      dropped ??= (async () => {
        await Promise.all(pools.map((pool) => pool.close()));
        await runAsAdmin(admin, `drop database ${name} with (force)`);
      })();
      return dropped;
    },
  };
}

async function askForServer(): Promise<SocketConnection> {
  const answer = JSON.parse(await text(connect(inject("throwAwayServer")))) as // what throw-away-server.ts sends
    | { readonly connection: SocketConnection }
    | { readonly failure: string };
  if ("failure" in answer) throw new Error(answer.failure);
  return answer.connection;
}

async function runAsAdmin(connection: SocketConnection, statement: string, values?: unknown[]): Promise<void> {
  const client = new pg.Client({ ...connection });
  await client.connect();
  try {
    await client.query(statement, values);
  } finally {
    await client.end();
  }
}
