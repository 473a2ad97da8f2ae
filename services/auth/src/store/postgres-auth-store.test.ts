import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll } from "vitest";
import { type AuthStoreSubject, describeAuthStore } from "./auth-store.contract.ts";
import { PostgresAuthStore } from "./postgres-auth-store.ts";

let database: ThrowAwayDatabase;
let subject: AuthStoreSubject;

beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth"] });
  await database.migrate("auth", fileURLToPath(new URL("../../migrations", import.meta.url)));
  const pool = database.createPool("auth");
  const audit = new AuditLog({ database: pool, clock: Date.now });
  const refuse = async () => {
    throw new Error("the audit log takes nothing");
  };
  subject = {
    store: new PostgresAuthStore({ pool, audit }),
    withoutAudit: new PostgresAuthStore({ pool, audit: { append: refuse } }),
    auditedAbout: async (sandboxId) => {
      const { rows } = await pool.query<{ action: string }>(
        "select action from audit_events where sandbox_id = $1 order by sequence",
        [sandboxId],
      );
      return rows.map(({ action }) => action);
    },
  };
});
afterAll(() => database.drop());

describeAuthStore("PostgresAuthStore", () => subject);
