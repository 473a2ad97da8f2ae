/** What a statement returned. */
export interface SqlResult<R> {
  readonly rows: R[];
  /** Rows returned or changed; 0 where a statement has no such number. */
  readonly rowCount: number;
}

/**
 * Anything that runs one statement: a pool, a transaction, or pg's own client.
 * int8 arrives as bigint, timestamptz as Date (milliseconds), bytea as Buffer, jsonb parsed.
 */
export interface SqlClient {
  query<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<SqlResult<R>>;
}
