import pg from "pg";

/** Where a database is: parts (host may be a socket directory), or a postgresql:// URL, which is a secret if it carries a password. */
export type ConnectionSettings =
  | {
      readonly host: string;
      readonly port: number;
      readonly database: string;
      readonly user: string;
      readonly password?: string;
    }
  | { readonly url: string };

/** What makes a connection a service's own: its role and its schema. */
export interface ConnectionIdentity {
  /** Lower-case letters, digits and underscores. */
  readonly role: string;
  /** Lower-case letters, digits and underscores. */
  readonly schema: string;
}

/** Limits of one connection, in milliseconds; 0 is none. */
export interface ConnectionTimeouts {
  readonly connectMs: number;
  readonly statementMs: number;
  readonly lockMs: number;
  readonly idleInTransactionMs: number;
}

/** The limits where none are given. */
export const defaultTimeouts: ConnectionTimeouts = {
  connectMs: 5_000,
  statementMs: 10_000,
  lockMs: 5_000,
  idleInTransactionMs: 30_000,
};

/** int8 as bigint; everything else as pg does it. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === pg.types.builtins.INT8 && format !== "binary"
      ? BigInt
      : // pg's overloads differ by format only; the pair is passed on unchanged
        pg.types.getTypeParser(oid, format as "text")) as typeof pg.types.getTypeParser,
};

/** Refuses a name that would have to be quoted. */
export function requirePlainName(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new TypeError("database role and schema names are lower-case words");
  return name;
}

/**
 * pg's settings for a connection that has its role, search path and limits from the first moment on, as the session's own
 * defaults. Refuses a URL that brings its own `options`.
 */
export function toClientConfig(
  connection: ConnectionSettings,
  identity: ConnectionIdentity | undefined,
  timeouts: ConnectionTimeouts = defaultTimeouts,
): pg.ClientConfig {
  const settings: string[] = [
    `statement_timeout=${timeouts.statementMs}`,
    `lock_timeout=${timeouts.lockMs}`,
    `idle_in_transaction_session_timeout=${timeouts.idleInTransactionMs}`,
    "timezone=UTC",
  ];
  if (identity !== undefined)
    settings.push(`role=${requirePlainName(identity.role)}`, `search_path=${requirePlainName(identity.schema)}`);
  if ("url" in connection && /[?&]options=/i.test(connection.url))
    throw new TypeError("a database url must not carry options");
  return {
    ...("url" in connection ? { connectionString: connection.url } : connection),
    options: settings.map((setting) => `-c ${setting}`).join(" "),
    application_name: identity?.role ?? "sandgate",
    connectionTimeoutMillis: timeouts.connectMs,
    // the server's own timeout comes first; this one is for a server that no longer answers
    ...(timeouts.statementMs === 0 ? {} : { query_timeout: timeouts.statementMs + 5_000 }),
    keepAlive: true,
    types,
  };
}

/** Throws unless a fresh connection really has the role and the schema: a proxy in between may have dropped them. */
export async function requireIdentity(
  client: { query(text: string): Promise<{ rows: unknown[] }> },
  identity: ConnectionIdentity,
): Promise<void> {
  const { rows } = await client.query("select current_user::text as role, current_schema()::text as schema");
  const actual = rows[0] as { role: string; schema: string | null } | undefined; // the columns of the line above
  if (actual?.role !== identity.role) throw new Error(`database connection does not have the role ${identity.role}`);
  if (actual.schema !== identity.schema) throw new Error(`database has no schema ${identity.schema} for this role`);
}
