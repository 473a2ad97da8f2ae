import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type ConnectionSettings, requirePlainName, toClientConfig } from "./connection-settings.ts";
import { sqlStateOf } from "./sql-state.ts";

/** The role that a service's connections have. */
export function roleOf(service: string): string {
  return `sandgate_${requirePlainName(service)}`;
}

/** Not there, not listening, starting, or the database is still to be made. */
const passing = ["ENOENT", "ECONNREFUSED", "57P03", "3D000"];
const retryMs = 25;

/**
 * Gives each service a role without login, named `sandgate_<service>`, and a schema of that role, named after the service; lets
 * the admin's login become each role. Does nothing where that is done already; may run in several processes at once. The login
 * needs CREATEROLE and CREATE on the database. Waits `patienceMs` for a server that does not answer yet; default: not at all.
 */
export async function prepareDatabase(options: {
  readonly connection: ConnectionSettings;
  readonly services: readonly string[];
  readonly patienceMs?: number;
  /** Told once, when it begins to wait. */
  readonly onWait?: (fault: unknown) => void;
}): Promise<void> {
  const client = await connect(options);
  try {
    for (const service of options.services) await prepareService(client, service);
  } finally {
    await client.end();
  }
}

async function connect(options: Parameters<typeof prepareDatabase>[0]): Promise<pg.Client> {
  const { connection, patienceMs = 0, onWait } = options;
  const deadline = performance.now() + patienceMs;
  for (let attempt = 1; ; attempt += 1) {
    const client = new pg.Client(toClientConfig(connection, undefined));
    try {
      await client.connect();
      return client;
    } catch (error) {
      client.end().catch(() => {}); // not awaited: of one that was never connected it may never resolve
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      if (!passing.includes(code) || performance.now() >= deadline) throw error;
      if (attempt === 1) onWait?.(error);
      await sleep(retryMs);
    }
  }
}

async function prepareService(client: pg.Client, service: string): Promise<void> {
  const role = roleOf(service);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { rows } = await client.query<{ role: boolean; granted: boolean; schema: boolean }>(
        `select exists (select from pg_roles where rolname = $1) as role,
                exists (select from pg_roles where rolname = $1 and pg_has_role(oid, 'member')) as granted,
                exists (select from pg_namespace where nspname = $2) as schema`,
        [role, service],
      );
      // names are plain words, checked by roleOf: they need no quoting
      if (rows[0]?.role !== true) await client.query(`create role ${role} nologin noinherit`);
      if (rows[0]?.granted !== true) await client.query(`grant ${role} to current_user`);
      if (rows[0]?.schema !== true) await client.query(`create schema if not exists ${service} authorization ${role}`);
      return;
    } catch (error) {
      // another process did the same at the same time: duplicate object, duplicate key, or "tuple concurrently updated"
      if (attempt >= 20 || !["42710", "42P06", "23505", "XX000"].includes(sqlStateOf(error) ?? "")) throw error;
      await sleep(randomInt(5, 50));
    }
  }
}
