import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Pool } from "./pool.ts";
import type { SqlClient } from "./sql-client.ts";
import { sqlStateOf } from "./sql-state.ts";
import { withTransaction } from "./transaction.ts";

let database: ThrowAwayDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth"] });
  pool = database.createPool("auth");
  await pool.query("create table counters (name text primary key, value int not null)");
});
beforeEach(async () => {
  await pool.query("truncate counters");
  await pool.query("insert into counters values ('a', 0), ('b', 0)");
});
afterAll(() => database.drop());

const increment = (client: SqlClient, name: string) =>
  client.query("update counters set value = value + 1 where name = $1", [name]);
const readCounter = async (name: string) =>
  (await pool.query<{ value: number }>("select value from counters where name = $1", [name])).rows[0]?.value;

test("what returns is committed", async () => {
  expect(await withTransaction(pool, async (tx) => (await increment(tx, "a")).rowCount)).toBe(1);
  expect(await readCounter("a")).toBe(1);
});

test("what throws is undone, and the error passes", async () => {
  const failed = withTransaction(pool, async (tx) => {
    await increment(tx, "a");
    throw new RangeError("no");
  });
  await expect(failed).rejects.toThrow(RangeError);
  expect(await readCounter("a")).toBe(0);
});

test("a swallowed error is not taken for a commit", async () => {
  const failed = withTransaction(pool, async (tx) => {
    await increment(tx, "a");
    await tx.query("select 1 / 0").catch(() => {});
  });
  await expect(failed).rejects.toThrow("rolled back");
  expect(await readCounter("a")).toBe(0);
});

test("a transaction that has ended is refused", async () => {
  const kept = await withTransaction(pool, async (tx) => tx);
  await expect(kept.query("select 1")).rejects.toThrow("ended");
});

test("a read-only transaction changes nothing", async () => {
  const failed = withTransaction(pool, (tx) => increment(tx, "a"), { readOnly: true });
  await expect(failed.catch(sqlStateOf)).resolves.toBe("25006");
});

test("a serialization failure runs it again", async () => {
  const bump = () =>
    withTransaction(
      pool,
      async (tx) => {
        const { rows } = await tx.query<{ value: number }>("select value from counters where name = 'a'");
        await tx.query("update counters set value = $1 where name = 'a'", [(rows[0]?.value ?? 0) + 1]);
      },
      { isolation: "serializable", attempts: 50 },
    );
  await Promise.all(Array.from({ length: 6 }, bump));
  expect(await readCounter("a")).toBe(6);
});

test("a deadlock runs it again", async () => {
  let arrived = 0;
  const { promise: both, resolve } = Promise.withResolvers<void>();
  const swap = (first: string, second: string) =>
    withTransaction(pool, async (tx) => {
      await increment(tx, first);
      arrived += 1;
      if (arrived === 2) resolve();
      await both;
      await increment(tx, second);
    });
  await Promise.all([swap("a", "b"), swap("b", "a")]);
  expect(arrived).toBe(3);
  expect(await readCounter("a")).toBe(2);
});

test("it gives up after the attempts", async () => {
  let tries = 0;
  const failed = withTransaction(
    pool,
    async (tx) => {
      tries += 1;
      await tx.query("do $$ begin raise exception 'again' using errcode = 'serialization_failure'; end $$");
    },
    { attempts: 3 },
  );
  await expect(failed.catch(sqlStateOf)).resolves.toBe("40001");
  expect(tries).toBe(3);
});

test("a connection that dies in a transaction is not handed out again", async () => {
  const failed = withTransaction(pool, async (tx) => {
    const { rows } = await tx.query<{ pid: number }>("select pg_backend_pid() as pid");
    await database.runAsAdmin("select pg_terminate_backend($1, 5000)", [rows[0]?.pid]);
    await increment(tx, "a");
  });
  await expect(failed).rejects.toThrow();
  await Promise.all(Array.from({ length: 8 }, () => pool.check()));
  expect(await readCounter("a")).toBe(0);
});
