import { afterAll, expect, test } from "vitest";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "./throw-away-database.ts";

const made: ThrowAwayDatabase[] = [];
afterAll(async () => {
  await Promise.all(made.map((database) => database.drop()));
});

async function make(): Promise<ThrowAwayDatabase> {
  const database = await createThrowAwayDatabase({ services: ["auth", "sandbox"] });
  made.push(database);
  return database;
}

test("two databases that are made at once have the roles and nothing in common", async () => {
  const [first, second] = await Promise.all([make(), make()]);
  expect(first.connection.database).not.toBe(second.connection.database);
  await first.createPool("auth").query("create table only_here (id int)");
  const { rows } = await second
    .createPool("auth")
    .query("select current_user::text as role, to_regclass('only_here') as seen");
  expect(rows).toEqual([{ role: "sandgate_auth", seen: null }]);
});

test("a dropped database is gone although a connection is open", async () => {
  const database = await make();
  const other = await make();
  await database.createPool("sandbox").query("select 1");
  await database.drop();
  const { rows } = await other
    .createPool("auth")
    .query("select from pg_database where datname = $1", [database.connection.database]);
  expect(rows).toEqual([]);
});
