import { ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningService, startSandboxService } from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

let database: SandboxDatabase;
let service: RunningService;

beforeAll(async () => {
  database = await createSandboxDatabase();
  service = await startSandboxService(database, new ScriptedWorld());
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const spec = { command: ["make"] };

async function push(id: string, ...pieces: [offset: number, text: string, incarnation?: bigint][]): Promise<bigint> {
  const { storedOffset } = await service.asSandbox(id).pushSandboxLogs(
    (async function* () {
      for (const [offset, text, incarnation = 1n] of pieces)
        yield { sandboxId: id, incarnation, offset: BigInt(offset), data: Buffer.from(text) };
    })(),
  );
  return storedOffset;
}

async function read(id: string, offset = 0n, follow = false): Promise<string> {
  let text = "";
  for await (const { data } of service.asUser().readSandboxLogs({ sandbox: id, offset, follow }))
    text += Buffer.from(data).toString();
  return text;
}

const reasonOf = (error: unknown) => (error instanceof ServiceError ? error.reason : error);

describe("PushSandboxLogs", () => {
  it("says up to which byte the output is durable, also after a repetition", async () => {
    const id = await service.create({ spec });
    expect(await push(id, [0, "hello "], [6, "world"])).toBe(11n);
    expect(await push(id, [0, "hello "], [6, "world"])).toBe(11n);
    expect(await read(id)).toBe("hello world");
  });

  it.each<[string, [number, string, bigint?][], string]>([
    [
      "a gap",
      [
        [0, "a"],
        [2, "c"],
      ],
      "REQUEST_INVALID",
    ],
    ["another incarnation", [[0, "a", 2n]], "SANDBOX_CHANGED"],
    ["a negative offset", [[-1, "a"]], "REQUEST_INVALID"],
    ["more than 1 MiB at once", [[0, "a".repeat(1024 * 1024 + 1)]], "REQUEST_INVALID"],
  ])("refuses %s", async (_, pieces, reason) => {
    const id = await service.create({ spec });
    expect(await push(id, ...pieces).catch(reasonOf)).toBe(reason);
  });
});

describe("ReadSandboxLogs", () => {
  it("reads from any byte, and past the end from the end", async () => {
    const id = await service.create({ spec });
    await push(id, [0, "hello world"]);
    expect(await read(id, 6n)).toBe("world");
    expect(await read(id, 100n)).toBe("");
    expect(await read(id, -1n).catch(reasonOf)).toBe("REQUEST_INVALID");
  });

  it("reads more than one piece", async () => {
    const id = await service.create({ spec });
    const text = "0123456789".repeat(90_000);
    await push(id, [0, text.slice(0, 600_000)], [600_000, text.slice(600_000)]);
    expect((await read(id)) === text).toBe(true);
  });

  it("follows until the main process ends", async () => {
    const id = await service.create({ spec });
    await push(id, [0, "one "]);
    const pieces = service.asUser().readSandboxLogs({ sandbox: id, follow: true })[Symbol.asyncIterator]();
    const next = async () => Buffer.from((await pieces.next()).value?.data ?? []).toString();
    expect(await next()).toBe("one ");
    const second = next();
    await push(id, [4, "two "]);
    expect(await second).toBe("two ");
    const third = next();
    await push(id, [8, "three"]);
    await service.asSandbox(id).reportProcessExit({ sandboxId: id, incarnation: 1n, exit: { reason: 1 } });
    expect(await third).toBe("three");
    expect(await pieces.next()).toMatchObject({ done: true });
  });

  it("does not follow a sandbox without a main process", async () => {
    const id = await service.create();
    expect(await read(id, 0n, true)).toBe("");
  });

  it("ends when the service stops", async () => {
    const other = await startSandboxService(database, new ScriptedWorld());
    const id = await other.create({ spec });
    const waiting = expect(
      (async () => {
        for await (const _ of other.asUser().readSandboxLogs({ sandbox: id, follow: true }));
      })(),
    ).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await push(id, [0, "x"]);
    await other.stop();
    await waiting;
  });
});
