import { type Pool, withTransaction } from "@sandgate/postgres";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { auditEventsSql } from "./audit-events-sql.ts";
import { AuditLog } from "./audit-log.ts";
import { AuditPageTokenError } from "./audit-page-token.ts";
import type { AuditRecord } from "./audit-record.ts";
import { AuditUnavailableError } from "./group-commit.ts";

let database: ThrowAwayDatabase;
let pool: Pool;
let log: AuditLog;
beforeEach(async () => {
  database = await createThrowAwayDatabase({ services: ["auth"] });
  pool = database.createPool("auth");
  await pool.query(auditEventsSql);
  await pool.query("create table effects (id int primary key)");
  log = new AuditLog({ database: pool, clock: () => 1_700_000_000_123 });
});
afterEach(async () => {
  await log.close();
  await database.drop();
});

const denial = (more: Partial<AuditRecord> = {}): AuditRecord => ({
  action: "call.denied",
  principal: "spiffe://sandgate.local/sandbox/sbx-a",
  peer: "none",
  organizationId: "org",
  sandboxId: "sbx-b",
  ...more,
});

const list = (more: Partial<Parameters<AuditLog["list"]>[0]> = {}) =>
  log.list({ organizationId: "org", pageSize: 0, pageToken: "", ...more });
const sequences = async () =>
  (await list({ pageSize: 1_000 })).events.map(({ sequence }) => Number(sequence)).reverse();

/** Edits behind the log's back, as one who owns the database can. */
const tamper = (statement: string) =>
  database.runAsAdmin(`set search_path = auth; set session_replication_role = replica; ${statement}`);

describe("appending", () => {
  test("an effect and its record happen both or neither", async () => {
    await withTransaction(pool, async (tx) => {
      await tx.query("insert into effects values (1)");
      await log.append(tx, denial({ action: "thing.created" }));
    });
    const failed = withTransaction(pool, async (tx) => {
      await tx.query("insert into effects values (2)");
      await log.append(tx, denial({ action: "thing.created" }));
      throw new Error("no");
    });
    await expect(failed).rejects.toThrow("no");
    expect((await pool.query("select id from effects")).rows).toEqual([{ id: 1 }]);
    expect(await sequences()).toEqual([1]);
  });

  test("concurrent appends, also ones that are undone, leave no gap", async () => {
    const attempts = Array.from({ length: 40 }, (_, index) =>
      withTransaction(pool, async (tx) => {
        await tx.query("insert into effects values ($1)", [index]);
        await log.append(tx, denial({ details: { index: String(index) } }));
        if (index % 4 === 0) throw new Error("undone");
      }).catch(() => {}),
    );
    const denials = Array.from({ length: 40 }, () => log.record(denial()));
    await Promise.all([...attempts, ...denials]);
    expect(await sequences()).toEqual(Array.from({ length: 70 }, (_, index) => index + 1));
    expect(await log.verify()).toMatchObject({ kind: "intact", head: { sequence: 70n } });
  });

  test("serializable transactions that append at once are run again, not lost", async () => {
    const appendOnce = () =>
      withTransaction(pool, (tx) => log.append(tx, denial()), { isolation: "serializable", attempts: 50 });
    await Promise.all(Array.from({ length: 6 }, appendOnce));
    expect(await sequences()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("what a caller sends cannot keep a denial from being recorded", async () => {
    await log.record(
      denial({
        sandboxId: "a\u0000b\ud800",
        details: { __proto__x: "'; drop", 7: "x".repeat(5_000_000), "": "\u2028" },
      }),
    );
    const [event] = (await list()).events;
    expect(event?.sandboxId).toBe("a\ufffdb\ufffd");
    expect(event?.details["7"]).toHaveLength(1_025);
    expect(await log.verify()).toMatchObject({ kind: "intact" });
  });
});

describe("denials", () => {
  test("those that queue up while one commits are committed together", async () => {
    let statements = 0;
    const counting = new AuditLog({
      clock: () => 0,
      database: {
        query(text, values) {
          statements += 1;
          return pool.query(text, values);
        },
      },
    });
    await Promise.all(Array.from({ length: 100 }, () => counting.record(denial())));
    expect(statements).toBe(2);
    expect(await sequences()).toHaveLength(100);
  });

  test("beyond the queue's bound, and while the database fails, the caller is told", async () => {
    const gate = Promise.withResolvers<void>();
    const failing = new AuditLog({
      clock: () => 0,
      queueLimit: 2,
      database: {
        async query() {
          await gate.promise;
          throw new Error("down");
        },
      },
    });
    const taken = [failing.record(denial()), failing.record(denial())];
    await expect(failing.record(denial())).rejects.toThrow(AuditUnavailableError);
    gate.resolve();
    for (const outcome of await Promise.allSettled(taken))
      expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(AuditUnavailableError) });
  });

  test("after a failure the next ones are recorded", async () => {
    let fails = true;
    const flaky = new AuditLog({
      clock: () => 0,
      database: {
        async query(text, values) {
          if (fails) throw new Error("down");
          return pool.query(text, values);
        },
      },
    });
    await expect(flaky.record(denial())).rejects.toThrow(AuditUnavailableError);
    fails = false;
    await flaky.record(denial());
    expect(await sequences()).toEqual([1]);
  });

  test("closing waits for what was taken, and takes no more", async () => {
    const taken = log.record(denial());
    await log.close();
    await taken;
    await expect(log.record(denial())).rejects.toThrow(AuditUnavailableError);
    expect(await sequences()).toEqual([1]);
  });
});

describe("listing", () => {
  beforeEach(async () => {
    for (let index = 0; index < 5; index += 1) {
      await log.record(denial({ details: { index: String(index) } }));
      await log.record(denial({ action: "token.issued", sandboxId: "sbx-c" }));
      await log.record(denial({ organizationId: "other" }));
    }
  });

  test("it gives everything of an event, newest first, and of one organization alone", async () => {
    const { events, nextPageToken } = await list();
    expect(events.map(({ sequence }) => sequence)).toEqual([14n, 13n, 11n, 10n, 8n, 7n, 5n, 4n, 2n, 1n]);
    expect(nextPageToken).toBe("");
    expect(events[1]).toMatchObject({
      action: "call.denied",
      principal: "spiffe://sandgate.local/sandbox/sbx-a",
      peer: "none",
      organizationId: "org",
      sandboxId: "sbx-b",
      details: { index: "4" },
      time: { seconds: 1_700_000_000n, nanos: 123_000_000 },
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  test("pages join without a seam while new events come", async () => {
    const seen: bigint[] = [];
    let pageToken = "";
    do {
      const page = await list({ action: "call.denied", pageSize: 2, pageToken });
      seen.push(...page.events.map(({ sequence }) => sequence));
      await log.record(denial());
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([13n, 10n, 7n, 4n, 1n]);
  });

  test("it can be narrowed to a sandbox", async () => {
    expect((await list({ sandboxId: "sbx-c" })).events).toHaveLength(5);
  });

  test("a token of another list, or of nobody, is refused by name", async () => {
    const { nextPageToken } = await list({ pageSize: 2 });
    await expect(list({ pageToken: nextPageToken, organizationId: "other" })).rejects.toThrow(AuditPageTokenError);
    await expect(list({ pageToken: "x" })).rejects.toThrow(AuditPageTokenError);
  });
});

describe("G-31: the log is append-only and chained", () => {
  beforeEach(async () => {
    for (let index = 0; index < 6; index += 1) await log.record(denial({ details: { index: String(index) } }));
  });

  test.each([
    "update audit_events set action = 'x' where sequence = 3",
    "delete from audit_events where sequence = 3",
    "truncate audit_events",
    "delete from audit_head",
    "truncate audit_head",
  ])("the service itself cannot: %s", async (statement) => {
    await expect(pool.query(statement)).rejects.toThrow("audit records cannot be changed");
  });

  test("an untouched log is intact", async () => {
    expect(await log.verify()).toEqual({
      kind: "intact",
      head: { sequence: 6n, hash: (await list()).events[0]?.hash },
    });
  });

  test("an empty log is intact", async () => {
    await tamper("truncate audit_events; update audit_head set sequence = 0, hash = decode(repeat('00', 32), 'hex')");
    expect(await log.verify()).toMatchObject({ kind: "intact", head: { sequence: 0n } });
  });

  test.each([
    ["an edited text", "update audit_events set action = 'x' where sequence = 3", 3n, "changed"],
    ["an edited detail", `update audit_events set details = '{"index":"9"}' where sequence = 1`, 1n, "changed"],
    ["an added detail", `update audit_events set details = details || '{"x":1}' where sequence = 6`, 6n, "changed"],
    ["a moved time", "update audit_events set time = time + interval '1 ms' where sequence = 3", 3n, "changed"],
    ["a time that is none", "update audit_events set time = 'infinity' where sequence = 3", 3n, "changed"],
    ["an edited hash", "update audit_events set hash = sha256('x') where sequence = 4", 4n, "changed"],
    ["a removed record", "delete from audit_events where sequence = 3", 3n, "missing"],
    ["a removed first record", "delete from audit_events where sequence = 1", 1n, "missing"],
    ["removed newest records", "delete from audit_events where sequence > 4", 5n, "missing"],
    ["all records removed", "truncate audit_events", 1n, "missing"],
    ["a removed head", "delete from audit_head", 1n, "missing"],
    [
      "a head put back",
      "update audit_head set (sequence, hash) = (select sequence, hash from audit_events where sequence = 4)",
      5n,
      "unexpected",
    ],
    [
      "two records that changed places",
      "update audit_events set sequence = 99 where sequence = 2; update audit_events set sequence = 2 where sequence = 3; update audit_events set sequence = 3 where sequence = 99",
      2n,
      "changed",
    ],
  ])("%s is named", async (_, statement, sequence, fault) => {
    await tamper(statement);
    expect(await log.verify()).toEqual({ kind: "broken", sequence, fault });
  });

  test("a log whose end was removed and whose head was put back is found out by an earlier head", async () => {
    const verified = await log.verify();
    if (verified.kind !== "intact") throw new Error("broken");
    await tamper(`delete from audit_events where sequence > 4;
      update audit_head set (sequence, hash) = (select sequence, hash from audit_events where sequence = 4)`);
    expect(await log.verify()).toMatchObject({ kind: "intact" });
    expect(await log.verify({ expected: verified.head })).toEqual({ kind: "broken", sequence: 5n, fault: "missing" });
    await log.record(denial());
    await log.record(denial());
    expect(await log.verify({ expected: verified.head })).toEqual({ kind: "broken", sequence: 6n, fault: "rewritten" });
  });

  test("it can be checked while records are appended, over more than one batch", async () => {
    await pool.query("select append_audit_events(array(select $1::text from generate_series(1, 2500)))", [
      '{"time":"2023-11-14T22:13:20.123Z","action":"a","principal":"p","peer":"n","organization_id":"","sandbox_id":"","details":{}}',
    ]);
    const [verified] = await Promise.all([log.verify(), ...Array.from({ length: 50 }, () => log.record(denial()))]);
    expect(verified).toMatchObject({ kind: "intact" });
    expect(await log.verify()).toMatchObject({ kind: "intact", head: { sequence: 2_556n } });
  });
});
