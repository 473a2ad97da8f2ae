import { fileURLToPath } from "node:url";
import type { ConnectionSettings } from "./connection-settings.ts";
import { migrate } from "./migrate.ts";
import { createPool, type Pool } from "./pool.ts";
import { prepareDatabase, roleOf } from "./prepare-database.ts";

/**
 * A service's pool, ready for use: role and schema exist, migrations have run. Safe where replicas start at the same time. Throws
 * when the database cannot be reached or a migration fails.
 */
export async function openDatabase(options: {
  readonly connection: ConnectionSettings;
  /** auth, sandbox or policy: names the role `sandgate_<service>` and the schema. */
  readonly service: string;
  /** The folder with the service's migrations. */
  readonly migrations: URL;
  readonly logger: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}): Promise<Pool> {
  const { connection, service, logger } = options;
  const identity = { role: roleOf(service), schema: service };
  await prepareDatabase({ connection, services: [service] });
  await migrate({ connection, ...identity, directory: fileURLToPath(options.migrations), logger });
  return createPool({ connection, ...identity, logger });
}
