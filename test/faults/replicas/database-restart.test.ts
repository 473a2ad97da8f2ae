import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "@sandgate/postgres";
import { createClient } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { answerOf } from "./replica-sandbox.ts";
import { type ReplicaSuite, startReplicaSuite } from "./replica-suite.ts";

let directory: string;
let database: EmbeddedPostgres;
let suite: ReplicaSuite;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sgd-"));
  chmodSync(directory, 0o711); // as root the database has an uid of its own and has to pass
  const runtimeDirectory = join(directory, "r");
  mkdirSync(runtimeDirectory, { mode: 0o711 });
  database = await startEmbeddedPostgres({
    dataDirectory: join(directory, "data"),
    runtimeDirectory,
    lifetime: "starter",
    maxConnections: 200,
  });
  suite = await startReplicaSuite({ database: database.connection });
}, 180_000);
afterAll(async () => {
  await suite?.stop();
  await database?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const patience = { timeout: 60_000, interval: 50 };

describe("PostgreSQL killed under load, twice", { timeout: 240_000 }, () => {
  it("fails closed, recovers by itself, and loses nothing that was acknowledged", async () => {
    const clientsOf = (at: 0 | 1) => ({
      auth: createClient(AuthService, suite.connect("auth", at, suite.operator)),
      sandbox: createClient(SandboxService, suite.connect("sandbox", at, suite.operator)),
      policy: createClient(PolicyService, suite.connect("policy", at, suite.operator)),
    });
    const clients = [clientsOf(0), clientsOf(1)];
    const [one, other] = clients;
    if (one === undefined || other === undefined) throw new Error("there are two");
    const acknowledged = {
      created: new Set<string>(),
      revoked: new Set<string>(),
      policies: new Map<string, bigint>(),
    };
    const faults = new Set<string>();
    let over = false;
    let serial = 0;

    const work = async ({ auth, sandbox, policy }: (typeof clients)[number]): Promise<void> => {
      while (!over) {
        const request = { requestId: crypto.randomUUID(), name: `box-${++serial}` };
        faults.add(
          await answerOf(
            (async () => {
              const created = await sandbox.createSandbox(request);
              const id = created.sandbox?.id ?? "";
              acknowledged.created.add(id);
              const set = await policy.setPolicy({ sandbox: id, policy: {}, requestId: crypto.randomUUID() });
              acknowledged.policies.set(id, set.revision?.revision ?? 0n);
              if (serial % 2 === 0) return;
              await auth.revokeSandbox({ sandbox: id, reason: "a test" });
              acknowledged.revoked.add(id);
            })(),
          ),
        );
      }
    };
    const load = clients.flatMap((each) => [work(each), work(each)]);
    for (let kills = 0; kills < 2; kills += 1) {
      const before = acknowledged.revoked.size;
      await vi.waitFor(() => expect(acknowledged.revoked.size).toBeGreaterThan(before + 3), patience);
      const { pid } = database;
      process.kill(pid, "SIGKILL");
      await vi.waitFor(() => expect(database.pid).not.toBe(pid), patience);
    }
    const before = acknowledged.revoked.size;
    await vi.waitFor(() => expect(acknowledged.revoked.size).toBeGreaterThan(before + 3), patience); // nobody was told anything
    over = true;
    await Promise.all(load);

    // an outage is told as one: nothing was refused for what it is, and nothing was granted
    const outages = ["taken", "UNAVAILABLE", "TRUST_UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "CANCELLED"];
    expect([...faults].filter((reason) => !outages.includes(reason))).toEqual([]);
    for (const id of acknowledged.created)
      expect((await other.sandbox.getSandbox({ sandbox: id })).sandbox?.id).toBe(id);
    for (const [id, revision] of acknowledged.policies)
      expect((await one.policy.getPolicy({ sandbox: id })).revision?.revision).toBeGreaterThanOrEqual(revision);
    const register = createClient(AuthService, suite.connect("auth", 1, suite.identityOf("sandbox")));
    for (const id of acknowledged.revoked)
      expect((await register.resolveSandbox({ key: { case: "sandboxId", value: id } })).subject?.trusted, id).toBe(
        false,
      );
    for (const id of acknowledged.revoked) {
      const { events } = await other.auth.listAuditEvents({ sandboxId: id, pageSize: 50 });
      // one that could not be started in the outage had ended before it was revoked
      const ends = events.filter(({ action }) => ["sandbox.revoked", "sandbox.ended"].includes(action));
      expect(ends, id).toHaveLength(1);
    }
    for (const { auth, sandbox, policy } of clients)
      for (const log of [auth, sandbox, policy])
        expect((await log.verifyAuditLog({}, { timeoutMs: 60_000 })).outcome.case).toBe("intact");
  });
});
