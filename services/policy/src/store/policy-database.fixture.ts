import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import type { ConnectionSettings, Pool } from "@sandgate/postgres";
import { createThrowAwayDatabase } from "@sandgate/testing";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { PostgresPolicyStore } from "./postgres-policy-store.ts";

/** A database of a test's own, with the schema `policy`. */
export interface PolicyDatabase {
  readonly connection: ConnectionSettings;
  readonly pool: Pool;
  readonly audit: AuditLog;
  createStore(options: { feed: Pick<ChangeFeed, "announce"> }): PostgresPolicyStore;
  runAsAdmin(statement: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one. */
export async function startPolicyDatabase(): Promise<PolicyDatabase> {
  const database = await createThrowAwayDatabase({ services: ["policy"] });
  await database.migrate("policy", fileURLToPath(new URL("../../migrations", import.meta.url)));
  const pool = database.createPool("policy");
  const audit = new AuditLog({ database: pool, clock: Date.now });
  return {
    connection: database.connection,
    pool,
    audit,
    createStore: ({ feed }) =>
      new PostgresPolicyStore({ pool, audit, feed, replicaId: crypto.randomUUID(), clock: Date.now }),
    runAsAdmin: (statement) => database.runAsAdmin(statement),
    stop: () => database.drop(),
  };
}
