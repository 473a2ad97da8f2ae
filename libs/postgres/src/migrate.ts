import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import {
  type ConnectionIdentity,
  type ConnectionSettings,
  defaultTimeouts,
  requireIdentity,
  toClientConfig,
} from "./connection-settings.ts";

/** What `migrate` needs to know. */
export interface MigrateOptions extends ConnectionIdentity {
  readonly connection: ConnectionSettings;
  /** The folder with the service's `0001_create_….sql` files and nothing else. */
  readonly directory: string;
  readonly logger?: { info(fields: object, message: string): void };
}

/**
 * Brings a service's schema up to date, as the service's own role: runs the files that have not run yet, in order, all in one
 * transaction. Replicas that start together wait for each other. Refuses a file that comes before one that has already run, a
 * file name of another form, and a file that would only be run in part.
 * Resolves with the names of the migrations that it ran.
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  await requirePlainFiles(options.directory);
  // loaded only by those who migrate: it brings a TypeScript loader along
  const { runner } = await import("node-pg-migrate");
  const client = new pg.Client(
    toClientConfig(options.connection, options, {
      ...defaultTimeouts,
      statementMs: 0,
      lockMs: 60_000,
      idleInTransactionMs: 0,
    }),
  );
  await client.connect();
  try {
    await requireIdentity(client, options);
    // node-pg-migrate's own lock is one number for all schemas, and its unlock hides errors; this one ends with the session
    await client.query("set lock_timeout = 0");
    await client.query("select pg_advisory_lock(hashtextextended('sandgate migrate ' || current_schema(), 0))");
    await client.query("set lock_timeout = '60s'");
    const silent = () => {};
    const done = await runner({
      dbClient: client,
      dir: options.directory,
      direction: "up",
      migrationsTable: "schema_migrations",
      schema: options.schema,
      noLock: true,
      singleTransaction: true,
      checkOrder: true,
      logger: { debug: silent, info: silent, warn: silent, error: silent },
    });
    const names = done.map(({ name }) => name);
    options.logger?.info({ schema: options.schema, migrations: names }, "schema is up to date");
    return names;
  } finally {
    await client.end();
  }
}

/** node-pg-migrate reads an "up migration" or "down migration" comment as a border and leaves out what lies beyond it. */
async function requirePlainFiles(directory: string): Promise<void> {
  const names = await readdir(directory);
  if (names.length === 0) throw new Error(`there are no migrations in ${directory}`);
  for (const name of names) {
    if (!/^\d{4}_[a-z0-9_]+\.sql$/.test(name))
      throw new Error(`${join(directory, name)} is not named like a migration: 0001_create_things.sql`);
    if (/^\s*--[\s-]*(up|down)\s+migration/im.test(await readFile(join(directory, name), "utf8")))
      throw new Error(`${join(directory, name)} has an up or down section: migrations are forward only`);
  }
}
