/** What the log needs of a database connection; a pool and a transaction of libs/postgres are such. int8 must arrive as bigint. */
export interface AuditSqlClient {
  query<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<{ readonly rows: R[] }>;
}
