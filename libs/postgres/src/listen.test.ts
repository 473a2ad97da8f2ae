import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Listener, listen, notify } from "./listen.ts";
import type { Pool } from "./pool.ts";
import { withTransaction } from "./transaction.ts";

let database: ThrowAwayDatabase;
let pool: Pool;
const listeners: Listener[] = [];
beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth"] });
  pool = database.createPool("auth");
});
afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
});
afterAll(() => database.drop());

/** Listens and gives what arrives, one at a time. */
async function follow(channel: string, heartbeatMs = 15_000) {
  const arrived: string[] = [];
  const waiting: (() => void)[] = [];
  const push = (text: string) => {
    arrived.push(text);
    waiting.shift()?.();
  };
  const listener = await listen({
    connection: database.connection,
    channel,
    heartbeatMs,
    onNotification: push,
    onReconnect: () => push("(reconnected)"),
  });
  listeners.push(listener);
  const next = async (): Promise<string> => {
    while (arrived.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return arrived.shift() ?? "";
  };
  return { listener, next, arrived };
}

const cutListeners = `select pg_terminate_backend(pid, 5000) from pg_stat_activity
  where datname = $1 and application_name = 'sandgate' and query like 'listen%'`;

test("a notification arrives at the commit, and not after a rollback", async () => {
  const { next } = await follow("things");
  await withTransaction(pool, async (tx) => {
    await notify(tx, "things", "undone");
    throw new Error("no");
  }).catch(() => {});
  await withTransaction(pool, (tx) => notify(tx, "things", "done"));
  expect(await next()).toBe("done");
});

test("what is sent while it is disconnected is lost, and the consumer is told to catch up", async () => {
  const { next } = await follow("gap");
  const admin = new pg.Client({ ...database.connection, database: "postgres" });
  await admin.connect();
  await admin.query(`alter database ${database.connection.database} allow_connections false`);
  await admin.query(cutListeners, [database.connection.database]);
  await notify(pool, "gap", "lost");
  await admin.query(`alter database ${database.connection.database} allow_connections true`);
  await admin.end();
  expect(await next()).toBe("(reconnected)");
  await notify(pool, "gap", "after");
  expect(await next()).toBe("after");
});

test("it survives many cuts in a row", async () => {
  const { next } = await follow("cuts");
  for (let round = 0; round < 5; round += 1) {
    await database.runAsAdmin(cutListeners, [database.connection.database]);
    expect(await next()).toBe("(reconnected)");
  }
});

test("after close nothing is called", async () => {
  const { listener, arrived } = await follow("closed");
  const witness = await follow("closed");
  await listener.close();
  await listener.close();
  await notify(pool, "closed", "x");
  expect(await witness.next()).toBe("x");
  expect(arrived).toEqual([]);
});

test("a heartbeat keeps the connection proved", async () => {
  const { next } = await follow("beats", 5);
  await pool.query("select pg_sleep(0.1)");
  await notify(pool, "beats", "alive");
  expect(await next()).toBe("alive");
});

test("the first connection must succeed", async () => {
  await expect(
    listen({
      connection: { ...database.connection, database: "nowhere" },
      channel: "x",
      onNotification: () => {},
      onReconnect: () => {},
    }),
  ).rejects.toThrow();
});

test("a channel that would need quoting is refused", async () => {
  await expect(
    listen({ connection: database.connection, channel: "x; drop", onNotification: () => {}, onReconnect: () => {} }),
  ).rejects.toThrow(TypeError);
});
