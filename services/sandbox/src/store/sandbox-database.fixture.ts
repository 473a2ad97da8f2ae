import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import type { Pool } from "@sandgate/postgres";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { PostgresSandboxStore } from "./postgres-sandbox-store.ts";

/** A database of a test's own, with the schema `sandbox`. */
export interface SandboxDatabase {
  readonly connection: ThrowAwayDatabase["connection"];
  readonly pool: Pool;
  readonly audit: AuditLog;
  /** Another process's store on it. */
  createStore(): PostgresSandboxStore;
  drop(): Promise<void>;
}

/** Makes one. */
export async function createSandboxDatabase(): Promise<SandboxDatabase> {
  const database = await createThrowAwayDatabase({ services: ["sandbox"] });
  await database.migrate("sandbox", fileURLToPath(new URL("../../migrations", import.meta.url)));
  const pool = database.createPool("sandbox");
  const audit = new AuditLog({ database: pool, clock: Date.now });
  const stores: PostgresSandboxStore[] = [];
  return {
    connection: database.connection,
    pool,
    audit,
    createStore() {
      const store = new PostgresSandboxStore({ pool, audit });
      stores.push(store);
      return store;
    },
    async drop() {
      await Promise.all(stores.map((store) => store.close()));
      await audit.close();
      await database.drop();
    },
  };
}
