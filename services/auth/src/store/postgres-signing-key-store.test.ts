import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterAll } from "vitest";
import { PostgresAuthStore } from "./postgres-auth-store.ts";
import { PostgresSigningKeyStore } from "./postgres-signing-key-store.ts";
import { describeSigningKeyStore } from "./signing-key-store.contract.ts";

const databases: ThrowAwayDatabase[] = [];
afterAll(async () => {
  for (const database of databases) await database.drop();
});

describeSigningKeyStore("PostgresSigningKeyStore", async () => {
  const database = await createThrowAwayDatabase({ services: ["auth"] });
  databases.push(database);
  await database.migrate("auth", fileURLToPath(new URL("../../migrations", import.meta.url)));
  const pool = database.createPool("auth");
  const audit = new AuditLog({ database: pool, clock: Date.now });
  const storeWith = (log: Pick<AuditLog, "append">) =>
    new PostgresSigningKeyStore({
      pool,
      audit: log,
      newKey: (algorithm) => ({
        kid: crypto.randomUUID(),
        algorithm,
        publicKeyDer: new Uint8Array([1]),
        sealedKey: new Uint8Array([2]),
      }),
      publishMs: 10_000,
      longestLifeMs: () => 100_000,
    });
  const refuse = async () => {
    throw new Error("the audit log takes nothing");
  };
  return {
    store: storeWith(audit),
    withoutAudit: storeWith({ append: refuse }),
    trustEvents: async () => (await new PostgresAuthStore({ pool, audit }).readTrust(0n)).events,
    audited: async () => {
      const { rows } = await pool.query<{ action: string }>("select action from audit_events order by sequence");
      return rows.map(({ action }) => action);
    },
  };
});
