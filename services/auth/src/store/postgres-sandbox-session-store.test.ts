import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll, beforeAll } from "vitest";
import { PostgresAuthStore } from "./postgres-auth-store.ts";
import { PostgresSandboxSessionStore } from "./postgres-sandbox-session-store.ts";
import { describeSandboxSessionStore, type SandboxSessionStoreSubject } from "./sandbox-session-store.contract.ts";

let database: ThrowAwayDatabase;
let subject: SandboxSessionStoreSubject;

beforeAll(async () => {
  database = await createThrowAwayDatabase({ services: ["auth"] });
  await database.migrate("auth", fileURLToPath(new URL("../../migrations", import.meta.url)));
  const pool = database.createPool("auth");
  const audit = new AuditLog({ database: pool, clock: Date.now });
  const refuse = async () => {
    throw new Error("the audit log takes nothing");
  };
  subject = {
    store: new PostgresSandboxSessionStore({ pool, audit }),
    register: new PostgresAuthStore({ pool, audit }),
    withoutAudit: new PostgresSandboxSessionStore({ pool, audit: { append: refuse } }),
    auditedAbout: async (sandboxId) => {
      const { rows } = await pool.query<{ action: string; details: Record<string, string> }>(
        "select action, details from audit_events where sandbox_id = $1 order by sequence",
        [sandboxId],
      );
      return rows.map(({ action, details }) => ({ action, tokenId: details["token_id"] }));
    },
    revokeKey: async (kid) => {
      await pool.query(
        `insert into signing_keys (kid, algorithm, public_key, publish_time, sign_time, revoke_time)
         values ($1, 'ES256', '', now(), now(), now())`,
        [kid],
      );
    },
    atRest: async (tokenId) => {
      const { rows } = await pool.query<{ whole: string }>(
        "select s::text as whole from sandbox_sessions s where token_id = $1",
        [tokenId],
      );
      return rows[0]?.whole ?? "";
    },
  };
});
afterAll(() => database.drop());

describeSandboxSessionStore("PostgresSandboxSessionStore", () => subject);
