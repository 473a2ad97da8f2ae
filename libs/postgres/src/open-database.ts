import { fileURLToPath } from "node:url";
import type { ConnectionSettings } from "./connection-settings.ts";
import { migrate } from "./migrate.ts";
import { createPool, type Pool } from "./pool.ts";
import { prepareDatabase, roleOf } from "./prepare-database.ts";

/** How long a service that starts waits for a server that starts with it. */
const patienceMs = 30_000;

/**
 * A service's pool, ready for use: role and schema exist, migrations have run. Safe where replicas start at the same time. Waits
 * 30 s for a server that does not answer yet; throws when it cannot be reached then, or a migration fails.
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
  await prepareDatabase({
    connection,
    services: [service],
    patienceMs,
    onWait: (err) => logger.warn({ err }, "the database does not answer yet: waiting for it"),
  });
  await migrate({ connection, ...identity, directory: fileURLToPath(options.migrations), logger });
  return createPool({ connection, ...identity, logger });
}
