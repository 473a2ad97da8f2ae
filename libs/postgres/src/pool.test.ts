import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPool, type Pool } from "./pool.ts";
import { isUniqueViolation, sqlStateOf } from "./sql-state.ts";

let database: ThrowAwayDatabase;
let pool: Pool;
const others: Pool[] = [];
beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth", "sandbox"] });
  pool = database.createPool("auth");
  await pool.query("create table things (id int8 primary key, name text)");
});
afterAll(async () => {
  await Promise.all(others.map((other) => other.close()));
  await database.drop();
});

function open(options: Partial<Parameters<typeof createPool>[0]>): Pool {
  const other = createPool({ connection: database.connection, role: "sandgate_auth", schema: "auth", ...options });
  others.push(other);
  return other;
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

test("every connection has the role, the search path and the limits, also after a reset", async () => {
  const connection = await pool.connect();
  await connection.query("reset all");
  const { rows } = await connection.query(
    `select current_user::text as role, current_schema()::text as schema,
            current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
            current_setting('idle_in_transaction_session_timeout') as idle`,
  );
  connection.release(false);
  expect(rows).toEqual([{ role: "sandgate_auth", schema: "auth", statement: "10s", lock: "5s", idle: "30s" }]);
});

test("a service cannot read another service's tables", async () => {
  const error = await failureOf(database.createPool("sandbox").query("select * from auth.things"));
  expect(sqlStateOf(error)).toBe("42501");
});

test.each([
  ["a role that does not exist", { role: "sandgate_nobody" }],
  ["a schema that does not exist", { schema: "nowhere" }],
  ["another service's schema", { role: "sandgate_sandbox", schema: "auth" }],
])("with %s no connection is handed out", async (_, identity) => {
  const other = open(identity);
  await expect(other.query("select 1")).rejects.toThrow();
  await expect(other.connect()).rejects.toThrow();
});

test("names that would need quoting are refused", () => {
  expect(() => open({ role: "x -c role=postgres" })).toThrow(TypeError);
});

test("a url that brings options of its own is refused", () => {
  expect(() => open({ connection: { url: "postgresql:///x?options=-c%20role%3Dpostgres" } })).toThrow("options");
});

test("a url leads to the same database", async () => {
  const { host, database: name, user } = database.connection;
  const other = open({ connection: { url: `postgresql://${user}@/${name}?host=${encodeURIComponent(host)}` } });
  const { rows } = await other.query("select current_database()::text as name, current_user::text as role");
  expect(rows).toEqual([{ name, role: "sandgate_auth" }]);
});

test("int8 is a bigint both ways", async () => {
  const { rows } = await pool.query("select $1::int8 as value", [9_007_199_254_740_993n]);
  expect(rows).toEqual([{ value: 9_007_199_254_740_993n }]);
});

test("a violated key is recognized by its constraint, and costs no connection", async () => {
  const single = open({ maxConnections: 1 });
  const pidOf = async () => (await single.query("select pg_backend_pid() as pid")).rows;
  const before = await pidOf();
  await single.query("insert into things (id) values (1)");
  const error = await failureOf(single.query("insert into things (id) values (1)"));
  expect(isUniqueViolation(error, "things_pkey")).toBe(true);
  expect(isUniqueViolation(error, "other")).toBe(false);
  expect(await pidOf()).toEqual(before);
});

test("a statement that takes too long is ended by the server", async () => {
  const other = open({ timeouts: { statementMs: 50 } });
  expect(sqlStateOf(await failureOf(other.query("select pg_sleep(60)")))).toBe("57014");
});

test("a connection that the server ended is replaced", async () => {
  const single = open({ maxConnections: 1 });
  const { rows } = await single.query<{ pid: number }>("select pg_backend_pid() as pid");
  const connection = await single.connect();
  await database.runAsAdmin("select pg_terminate_backend($1, 5000)", [rows[0]?.pid]);
  await expect(connection.query("select 1")).rejects.toThrow();
  connection.release(true);
  await single.check();
});

test("a closed pool answers nothing, and closes once", async () => {
  const other = open({});
  await other.check();
  await Promise.all([other.close(), other.close()]);
  await expect(other.query("select 1")).rejects.toThrow();
});
