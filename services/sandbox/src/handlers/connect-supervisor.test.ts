import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ConnectSupervisorRequestSchema, Phase } from "@sandgate/api/sandbox";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectSupervisor, Outgoing, type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

const world = new ScriptedWorld();
let database: SandboxDatabase;
let service: RunningService;
/** How far the service's clock is ahead: a supervisor may be silent for 30 s. */
let aheadMs = 0;

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, world, {
    deps: { clock: () => Date.now() + aheadMs, timing: { pingIntervalMs: 10, silenceMs: 30_000 } },
  });
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

type Message = MessageInitShape<typeof ConnectSupervisorRequestSchema>["message"];

/** Says these messages as the sandbox's supervisor; answers how the stream ended. */
async function endOf(
  id: string,
  messages: readonly NonNullable<Message>[],
  { incarnation = 1n, onCommand = () => {} }: { incarnation?: bigint; onCommand?: () => void } = {},
): Promise<unknown> {
  const outgoing = new Outgoing<MessageInitShape<typeof ConnectSupervisorRequestSchema>>();
  for (const message of messages) outgoing.push({ sandboxId: id, message });
  try {
    for await (const _ of service.asSandbox(id, incarnation).connectSupervisor(outgoing)) onCommand();
    return undefined;
  } catch (error) {
    return error;
  }
}
const hello = (incarnation: bigint) => ({ case: "hello", value: { incarnation } }) as const;

it("G-15 asks every supervisor to check its session when a signing key is revoked", async () => {
  const ids = [await service.create(), await service.create()];
  const supervisors = ids.map((id) => connectSupervisor(service, id));
  await Promise.all(supervisors.map((supervisor) => supervisor.nextCommand("ping")));
  world.revokeKey();
  await Promise.all(supervisors.map((supervisor) => supervisor.nextCommand("checkSession")));
  for (const supervisor of supervisors) supervisor.disconnect();
});

it("pings, and ends the stream of a supervisor that does not answer", async () => {
  const id = await service.create();
  const onCommand = () => {
    aheadMs += 31_000;
  };
  expect(await endOf(id, [hello(1n)], { onCommand })).toMatchObject({ reason: "SUPERVISOR_LOST" });
});

it("goes on with a supervisor that answers", async () => {
  const id = await service.create();
  // whose report would be stored first, while the clock runs on
  const supervisor = connectSupervisor(service, id, { confined: "unreported" });
  for (let pings = 0; pings < 15; pings += 1) {
    await supervisor.nextCommand("ping");
    supervisor.outgoing.push({ sandboxId: id, message: { case: "pong", value: {} } });
    await new Promise((resolve) => setImmediate(resolve)); // the pong is heard
    aheadMs += 10_000;
  }
  supervisor.disconnect();
});

it.each<[string, readonly NonNullable<Message>[], string]>([
  ["begins with something else than a hello", [{ case: "pong", value: {} }], "REQUEST_INVALID"],
  ["says hello twice", [hello(1n), hello(1n)], "REQUEST_INVALID"],
  ["says hello for another incarnation", [hello(2n)], "SANDBOX_CHANGED"],
])("refuses a supervisor that %s", async (_, messages, reason) => {
  const id = await service.create();
  expect(await endOf(id, messages)).toMatchObject({ reason });
});

it("refuses the supervisor of an incarnation that the sandbox does not have", async () => {
  const id = await service.create();
  expect(await endOf(id, [hello(2n)], { incarnation: 2n })).toMatchObject({ reason: "SANDBOX_CHANGED" });
});

it("lets a newer stream take the place of an older one", async () => {
  const id = await service.create();
  const older = connectSupervisor(service, id);
  const ended = older.nextCommand(undefined); // answers pings until the stream ends
  const replaced = expect(ended).rejects.toMatchObject({ reason: "CANCELLED" });
  await service.reach(id, Phase.READY);
  const newer = connectSupervisor(service, id);
  await newer.nextCommand("ping");
  await replaced;
  await newer.nextCommand("ping");
  newer.disconnect();
});

it("takes a report without checks for no proof", async () => {
  const id = await service.create();
  const ended = endOf(id, [hello(1n), { case: "confinement", value: { checks: [] } }]);
  expect((await service.reach(id, Phase.FAILED)).failure?.stage).toBe("confinement");
  aheadMs += 31_000;
  await ended;
});
