import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type ConnectionSettings, requirePlainName, toClientConfig } from "./connection-settings.ts";
import { sqlStateOf } from "./sql-state.ts";

/** The role that a service's connections have. */
export function roleOf(service: string): string {
  return `sandgate_${requirePlainName(service)}`;
}

/**
 * Gives each service a role without login, named `sandgate_<service>`, and a schema of that role, named after the service; lets
 * the admin's login become each role. Does nothing where that is done already; may run in several processes at once. The login
 * needs CREATEROLE and CREATE on the database.
 */
export async function prepareDatabase(options: {
  readonly connection: ConnectionSettings;
  readonly services: readonly string[];
}): Promise<void> {
  const client = new pg.Client(toClientConfig(options.connection, undefined));
  await client.connect();
  try {
    for (const service of options.services) await prepareService(client, service);
  } finally {
    await client.end();
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
