import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareDatabase, roleOf } from "./prepare-database.ts";

const services = ["auth", "sandbox", "policy"];
let databases: ThrowAwayDatabase[];
beforeAll(async () => {
  databases = await Promise.all(Array.from({ length: 3 }, () => createThrowAwayDatabase()));
});
afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()));
});

test("several processes prepare several databases at once; again changes nothing", async () => {
  const prepareAll = () =>
    databases.flatMap(({ connection }) => [1, 2].map(() => prepareDatabase({ connection, services })));
  await Promise.all(prepareAll());
  await Promise.all(prepareAll());
  for (const { connection } of databases) {
    const client = new pg.Client({ ...connection });
    await client.connect();
    const { rows } = await client.query(
      `select nspname::text as schema, rolname::text as role, rolcanlogin as login
         from pg_namespace join pg_roles on pg_roles.oid = nspowner where nspname = any($1) order by 1`,
      [services],
    );
    await client.end();
    expect(rows).toEqual([
      { schema: "auth", role: "sandgate_auth", login: false },
      { schema: "policy", role: "sandgate_policy", login: false },
      { schema: "sandbox", role: "sandgate_sandbox", login: false },
    ]);
  }
});

test("an admin who is no superuser can become the roles that it made", async () => {
  const [database] = databases;
  if (database === undefined) throw new Error("no database");
  const admin = new pg.Client({ ...database.connection });
  await admin.connect();
  const login = `login_${database.connection.database}`;
  const service = `svc_${database.connection.database}`;
  await admin.query(`create role ${login} login createrole`);
  await admin.query(`grant create on database ${database.connection.database} to ${login}`);
  const connection = { ...database.connection, user: login };
  await prepareDatabase({ connection, services: [service] });
  await prepareDatabase({ connection, services: [service] });
  const client = new pg.Client({ ...connection, options: `-c role=${roleOf(service)} -c search_path=${service}` });
  await client.connect();
  await client.query("create table mine (id int)");
  await client.end();
  await admin.query(
    `drop owned by ${roleOf(service)}; drop owned by ${login}; drop role ${roleOf(service)}; drop role ${login}`,
  );
  await admin.end();
});
