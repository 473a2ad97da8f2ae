import type { MessageInitShape } from "@bufbuild/protobuf";
import { Phase, type WatchSandboxRequestSchema, type WatchSandboxResponse } from "@sandgate/api/sandbox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectSupervisor, type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

const world = new ScriptedWorld();
let database: SandboxDatabase;
let service: RunningService;

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, world);
  world.onStart = ({ sandboxId, incarnation }) => {
    connectSupervisor(service, sandboxId, { incarnation })
      .nextCommand(undefined)
      .catch(() => {}); // plays on until the stream ends
  };
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

/** The responses up to the first that `isLast` is about, with which the caller goes away. */
async function watchUntil(
  request: MessageInitShape<typeof WatchSandboxRequestSchema>,
  isLast: (response: WatchSandboxResponse) => boolean,
): Promise<readonly WatchSandboxResponse[]> {
  const seen: WatchSandboxResponse[] = [];
  for await (const response of service.asUser().watchSandbox(request)) {
    seen.push(response);
    if (isLast(response)) break;
  }
  return seen;
}
const isPhase = (phase: Phase) => (response: WatchSandboxResponse) => response.sandbox?.phase === phase;
const phasesOf = (responses: readonly WatchSandboxResponse[]) =>
  responses.map(({ sandbox }) => Phase[sandbox?.phase ?? 0]).filter((phase, at, all) => phase !== all[at - 1]);

async function createReady(): Promise<string> {
  const id = await service.create();
  await service.reach(id, Phase.READY);
  return id;
}
const change = (kind: "stopSandbox" | "startSandbox" | "deleteSandbox", sandbox: string) =>
  service.asUser()[kind]({ sandbox, requestId: crypto.randomUUID() });

describe("WatchSandbox", () => {
  it("goes on behind a token without missing a change, however many there were", async () => {
    const id = await createReady();
    const [seen] = await watchUntil({ sandbox: id }, isPhase(Phase.READY));
    expect(seen?.past).toBe(false);
    await change("stopSandbox", id);
    await service.reach(id, Phase.STOPPED);
    await change("startSandbox", id);
    await service.reach(id, Phase.READY);
    const missed = await watchUntil({ sandbox: id, resumeToken: seen?.resumeToken ?? "" }, ({ past }) => !past);
    expect(phasesOf(missed)).toEqual([...["STOPPING", "STOPPED", "PENDING", "PROVISIONING", "STARTING", "READY"]]);
    expect(missed.filter(isPhase(Phase.STOPPED)).map(({ sandbox }) => sandbox?.incarnation)).toContain(1n);
    expect(missed.at(-1)?.sandbox).toEqual((await service.asUser().getSandbox({ sandbox: id })).sandbox);
    const times = missed.map(({ changeTime }) => Number(changeTime?.seconds) * 1e9 + (changeTime?.nanos ?? 0));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it("waits behind the token of the last change for the next one", async () => {
    const id = await createReady();
    const [seen] = await watchUntil({ sandbox: id }, () => true);
    const next = watchUntil({ sandbox: id, resumeToken: seen?.resumeToken ?? "" }, isPhase(Phase.STOPPING));
    await change("stopSandbox", id);
    expect(phasesOf(await next)).toEqual(["STOPPING"]);
  });

  it("tells the whole life that is kept where it is asked for, and ends after DELETED", async () => {
    const id = await createReady();
    await change("deleteSandbox", id);
    await service.reach(id, Phase.DELETED);
    const life = await watchUntil({ sandbox: id, history: true }, () => false);
    expect(phasesOf(life)).toEqual([
      ...["PENDING", "PROVISIONING", "STARTING", "READY", "STOPPING", "STOPPED", "DELETING", "DELETED"],
    ]);
    expect(life.map(({ past }) => past)).toEqual(life.map((_, at) => at < life.length - 1));
    expect(phasesOf(await watchUntil({ sandbox: id }, () => false))).toEqual(["DELETED"]);
  });

  it("says so where what followed a token is not kept any more, and keeps 256 changes", async () => {
    const id = await createReady();
    const [seen] = await watchUntil({ sandbox: id }, () => true);
    const resumed = () => watchUntil({ sandbox: id, resumeToken: seen?.resumeToken ?? "" }, ({ past }) => !past);
    const touch = (times: number) =>
      database.pool.query(
        `do $$ begin for i in 1..${times} loop update sandboxes set version = version + 1 where id = '${id}'; end loop; end $$`,
      );
    await touch(256);
    expect(await resumed()).toHaveLength(256);
    await touch(1);
    await expect(resumed()).rejects.toMatchObject({ reason: "RESUME_TOKEN_EXPIRED" });
    const { rows } = await database.pool.query("select from sandbox_history where sandbox_id = $1", [id]);
    expect(rows).toHaveLength(256);
  });

  it("takes no token of another sandbox, of a version to come, and none that it never made", async () => {
    const [id, other] = [await createReady(), await createReady()];
    const [seen] = await watchUntil({ sandbox: other }, () => true);
    for (const resumeToken of [seen?.resumeToken ?? "", "x", "eyJwIjoiMSJ9"])
      await expect(watchUntil({ sandbox: id, resumeToken }, () => true)).rejects.toMatchObject({
        reason: "REQUEST_INVALID",
        metadata: { field: "resume_token" },
      });
    // a database of yesterday
    await database.pool.query("delete from sandbox_history where sandbox_id = $1 and version > 1", [other]);
    await database.pool.query("update sandboxes set version = 2 where id = $1", [other]);
    await expect(
      watchUntil({ sandbox: other, resumeToken: seen?.resumeToken ?? "" }, () => true),
    ).rejects.toMatchObject({ reason: "RESUME_TOKEN_EXPIRED" });
  });
});
