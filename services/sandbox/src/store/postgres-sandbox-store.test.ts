import { readFileSync } from "node:fs";
import { auditEventsSql } from "@sandgate/audit";
import { afterAll, describe, expect, it } from "vitest";
import { createSandboxDatabase, type SandboxDatabase } from "./sandbox-database.fixture.ts";
import { describeSandboxStore } from "./sandbox-store.contract.ts";

describe("PostgresSandboxStore", () => {
  let database: SandboxDatabase | undefined;
  afterAll(async () => {
    await database?.drop();
  });

  describeSandboxStore(async () => {
    const made = await createSandboxDatabase();
    database = made;
    return {
      store: made.createStore(),
      other: made.createStore(),
      auditedActions: async (sandboxId) => {
        const { rows } = await made.pool.query<{ action: string }>(
          "select action from audit_events where sandbox_id = $1 order by sequence",
          [sandboxId],
        );
        return rows.map((row) => row.action);
      },
    };
  });

  it("has the audit log's tables as libs/audit gives them", () => {
    const migration = readFileSync(new URL("../../migrations/0001_create_sandboxes.sql", import.meta.url), "utf8");
    expect(migration).toContain(auditEventsSql.trimEnd());
  });

  it("finds what has expired by an index", async () => {
    const made = database;
    if (made === undefined) throw new Error("the contract has not run");
    const connection = await made.pool.connect();
    try {
      await connection.query("set enable_seqscan = off");
      const { rows } = await connection.query<{ "QUERY PLAN": string }>(
        "explain select id from sandboxes where desired_phase = 'READY' and expire_time <= now() order by expire_time",
      );
      expect(rows.map((row) => row["QUERY PLAN"]).join()).toContain("sandboxes_expiring");
    } finally {
      connection.release(true);
    }
  });
});
