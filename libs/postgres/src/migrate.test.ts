import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { migrate } from "./migrate.ts";
import type { Pool } from "./pool.ts";

let database: ThrowAwayDatabase;
let pool: Pool;
let directory: string;
beforeEach(async () => {
  database = await createThrowAwayDatabase({ services: ["auth", "policy"] });
  pool = database.createPool("auth");
  directory = await mkdtemp(join(tmpdir(), "migrate-"));
});
afterEach(async () => {
  await database.drop();
  await rm(directory, { recursive: true });
});

const write = (name: string, sql: string) => writeFile(join(directory, name), sql);
const run = (service = "auth") =>
  migrate({ connection: database.connection, role: `sandgate_${service}`, schema: service, directory });
const tables = async () =>
  (await pool.query("select tablename::text from pg_tables where schemaname = 'auth' order by 1")).rows;

const first = "create table first (id int);\ninsert into first values (1);\n";

test("files run in order, once, as the service's role and in its schema", async () => {
  await write("0001_create_first.sql", first);
  await write("0002_add_second.sql", "alter table first add column name text; -- no line feed at the end");
  expect(await run()).toEqual(["0001_create_first", "0002_add_second"]);
  expect(await run()).toEqual([]);
  expect((await pool.query("select id, name from auth.first")).rows).toEqual([{ id: 1, name: null }]);
});

test("functions with dollar quotes and braces run as they are written", async () => {
  await write(
    "0001_f.sql",
    "create function f() returns text language plpgsql as $$ begin return '{name} $1'; end $$;",
  );
  await run();
  expect((await pool.query("select f()")).rows).toEqual([{ f: "{name} $1" }]);
});

test("replicas that start at once run each file once", async () => {
  await write("0001_create_first.sql", `select pg_sleep(0.2);\n${first}`);
  const done = await Promise.all([run(), run(), run(), run()]);
  expect(done.flat()).toEqual(["0001_create_first"]);
  expect((await pool.query("select id from first")).rows).toEqual([{ id: 1 }]);
});

test("two services migrate at once, each in its schema", async () => {
  await write("0001_create_first.sql", first);
  expect(await Promise.all([run("auth"), run("policy")])).toEqual([["0001_create_first"], ["0001_create_first"]]);
});

test("a file that fails undoes those before it", async () => {
  await write("0001_create_first.sql", first);
  await write("0002_wrong.sql", "create table second (id int); select 1 / 0;");
  await expect(run()).rejects.toThrow("division by zero");
  expect(await tables()).toEqual([{ tablename: "schema_migrations" }]);
  await write("0002_wrong.sql", "create table second (id int);");
  expect(await run()).toEqual(["0001_create_first", "0002_wrong"]);
});

test("the last release starts after a newer one has migrated", async () => {
  await write("0001_create_first.sql", first);
  await write("0002_next.sql", "create table next (id int);");
  await run();
  await rm(join(directory, "0002_next.sql"));
  expect(await run()).toEqual([]);
});

test.each([
  ["comes before one that has run", "0000_early.sql", "select 1;", "preceding"],
  ["is named otherwise", "2_second.sql", "select 1;", "named"],
  ["is no SQL", "0002_second.ts", "export {}", "named"],
  [
    "would be run in part",
    "0002_second.sql",
    "create table a (id int);\n-- Down Migration\ndrop table a;",
    "forward only",
  ],
])("a file that %s is refused", async (_, name, sql, message) => {
  await write("0001_create_first.sql", first);
  await run();
  await write(name, sql);
  await expect(run()).rejects.toThrow(message);
});

test("an empty or missing directory is refused", async () => {
  await expect(run()).rejects.toThrow("no migrations");
});
