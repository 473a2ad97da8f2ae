import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SandboxChanges } from "./sandbox-changes.ts";
import { createSandboxDatabase, type SandboxDatabase } from "./sandbox-database.fixture.ts";

const id = "sbx-aaaaaaaaaaaaaaaaaaaa";
const never = new AbortController().signal;
let database: SandboxDatabase;
let changes: SandboxChanges;

beforeAll(async () => {
  database = await createSandboxDatabase();
  changes = new SandboxChanges({ connection: database.connection, logger: { warn: () => {} } });
  await changes.start();
});
afterAll(async () => {
  await changes.stop();
  await database.drop();
});

const tell = (payload: string) => database.pool.query("select pg_notify('sandbox_events', $1)", [payload]);

it("wakes those who watch a sandbox, for the kinds that they watch", async () => {
  using changed = changes.subscribe(id);
  using logged = changes.subscribe(id, ["changed", "logged"]);
  await tell(`logged ${id}`);
  await logged.next(never);
  let woken = false;
  const waiting = changed.next(never).then(() => {
    woken = true;
  });
  await tell(`logged ${id}`);
  await logged.next(never);
  expect(woken).toBe(false);
  await tell(`changed ${id}`);
  await waiting;
});

it("remembers what happened before anybody waited", async () => {
  using subscription = changes.subscribe(id);
  using witness = changes.subscribe(id);
  await tell(`changed ${id}`);
  await witness.next(never);
  await subscription.next(never);
});

it("wakes everybody after a lost connection, because what was told meanwhile is lost", async () => {
  using subscription = changes.subscribe(id);
  const admin = new pg.Client({ ...database.connection });
  await admin.connect();
  await admin.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and query ilike 'listen %'`,
  );
  await admin.end();
  await subscription.next(never);
});

it("ends with the caller and with the service", async () => {
  using subscription = changes.subscribe(id);
  const caller = new AbortController();
  const left = expect(subscription.next(caller.signal)).rejects.toThrow("gone");
  caller.abort(new Error("gone"));
  await left;
  const other = new SandboxChanges({ connection: database.connection, logger: { warn: () => {} } });
  await other.start();
  using last = other.subscribe(id);
  const stopped = expect(last.next(never)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  await other.stop();
  await stopped;
});
