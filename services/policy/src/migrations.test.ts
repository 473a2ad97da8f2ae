import { readFileSync } from "node:fs";
import { auditEventsSql } from "@sandgate/audit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyDatabase, startPolicyDatabase } from "./store/policy-database.fixture.ts";

let database: PolicyDatabase;
beforeAll(async () => {
  database = await startPolicyDatabase();
});
afterAll(() => database.stop());

describe("the schema", () => {
  it("has the audit log as libs/audit has it", () => {
    expect(readFileSync(new URL("../migrations/0001_create_policies.sql", import.meta.url), "utf8")).toContain(
      auditEventsSql,
    );
  });

  it.each([
    "update policy_revisions set author = ''",
    "delete from policy_revisions",
    "truncate policy_revisions cascade",
  ])("refuses to rewrite what was enforced: %s", async (statement) => {
    await expect(database.pool.query(statement)).rejects.toThrow("a policy revision is never changed");
  });
});
