import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { PolicySchema } from "@sandgate/api/policy";
import { AuditLog } from "@sandgate/audit";
import { createThrowAwayDatabase } from "@sandgate/testing";
import { expect, it } from "vitest";
import { PostgresSandboxStore } from "./postgres-sandbox-store.ts";

const migrations = fileURLToPath(new URL("../../migrations", import.meta.url));

it("0002 keeps the sandboxes of the release before, and the present state of each as its history", async () => {
  const directory = await mkdtemp(join(tmpdir(), "sandbox-migrations-"));
  const database = await createThrowAwayDatabase({ services: ["sandbox"] });
  try {
    await copyFile(join(migrations, "0001_create_sandboxes.sql"), join(directory, "0001_create_sandboxes.sql"));
    await database.migrate("sandbox", directory);
    const pool = database.createPool("sandbox");
    const insert = (id: string) =>
      pool.query(
        `insert into sandboxes (id, organization_id, name, owner_user_id, spec, policy, policy_request_id, phase, version, create_time, phase_time)
         values ($1, $2, $1, $2, $3, $4, $2, 'READY', 7, now(), now())`,
        [
          id,
          "0d9a0000-0000-4000-8000-000000000001",
          JSON.stringify({ command: ["make"], environment: {}, limits: { processMemoryBytes: 5, processes: 3 } }),
          Buffer.from(toBinary(PolicySchema, create(PolicySchema))),
        ],
      );
    await insert("sbx-aaaaaaaaaaaaaaaaaaaa");
    await database.migrate("sandbox", migrations);
    await insert("sbx-bbbbbbbbbbbbbbbbbbbb"); // the release before still writes as it did
    const audit = new AuditLog({ database: pool, clock: Date.now });
    const store = new PostgresSandboxStore({ pool, audit });
    for (const id of ["sbx-aaaaaaaaaaaaaaaaaaaa", "sbx-bbbbbbbbbbbbbbbbbbbb"]) {
      const record = await store.get(id);
      expect(record).toMatchObject({
        ...{ phase: "READY", desiredPhase: "READY", labels: {}, endCause: undefined, activeTimeMs: undefined },
        spec: { command: ["make"], idleTimeoutMs: undefined, idleAction: "STOP" },
      });
      expect(record?.startTimeMs).toBe(record?.createTimeMs);
      const { rows } = await pool.query("select version, phase from sandbox_history where sandbox_id = $1", [id]);
      expect(rows).toEqual([{ version: 7n, phase: "READY" }]);
    }
    expect(await store.measureUsage("0d9a0000-0000-4000-8000-000000000001")).toMatchObject({
      ...{ running_sandboxes: 2, memory_bytes: 10, processes: 6 },
    });
    await store.close();
    await audit.close();
  } finally {
    await database.drop();
    await rm(directory, { recursive: true });
  }
});
