export type { ConnectionIdentity, ConnectionSettings, ConnectionTimeouts } from "./connection-settings.ts";
export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  embeddedConnection,
  type SocketConnection,
  startEmbeddedPostgres,
} from "./embedded-postgres.ts";
export { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
export { type Listener, type ListenOptions, listen, notify } from "./listen.ts";
export { type MigrateOptions, migrate } from "./migrate.ts";
export { openDatabase } from "./open-database.ts";
export { decodePageToken, encodePageToken, type PageFilter, PageTokenError } from "./page-token.ts";
export { createPool, type Pool, type PooledConnection, type PoolOptions } from "./pool.ts";
export { prepareDatabase, roleOf } from "./prepare-database.ts";
export type { SqlClient, SqlResult } from "./sql-client.ts";
export { isUniqueViolation, sqlStateOf } from "./sql-state.ts";
export { type TransactionOptions, withTransaction } from "./transaction.ts";
