import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Phase, type Sandbox } from "@sandgate/api/sandbox";
import { crashPointMethods } from "@sandgate/testing";
import { afterAll, describe, expect, it, onTestFailed, vi } from "vitest";
import { LocalDriver } from "../../services/sandbox/src/drivers/local/local-driver.ts";
import { PostgresSandboxStore } from "../../services/sandbox/src/store/postgres-sandbox-store.ts";
import { createCrashBench } from "./crash/crash-bench.ts";
import { driverCrashPoints, storeCrashPoints } from "./crash/crash-points.ts";

/** A way for one sandbox to live, and the time from which on crash points count. */
interface Life {
  readonly name: "usual" | "from the start of the process" | "long" | "deleted by its time";
}

const lives: readonly Life[] = [
  { name: "usual" },
  { name: "from the start of the process" },
  { name: "deleted by its time" },
  { name: "long" },
];
const patience = { timeout: 60_000, interval: 25 };
const bench = await createCrashBench();
afterAll(async () => {
  await bench.stop();
});

/** Calls until it succeeds, as a client does whose control plane comes back. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  return vi.waitFor(async () => {
    await bench.up();
    return call();
  }, patience);
}

async function reach(id: string, phases: readonly Phase[]): Promise<Sandbox> {
  return insist(async () => {
    for await (const { sandbox } of bench.client.watchSandbox({ sandbox: id }))
      if (sandbox !== undefined && phases.includes(sandbox.phase)) return sandbox;
    throw new Error("the sandbox has gone");
  });
}

async function readLogs(id: string): Promise<string> {
  return insist(async () => {
    let output = "";
    for await (const { data } of bench.client.readSandboxLogs({ sandbox: id })) output += Buffer.from(data).toString();
    return output;
  });
}

async function create(life: Life): Promise<Sandbox> {
  const name = `crash-${crypto.randomUUID()}`;
  const spec = {
    usual: { command: ["sh", "-c", "echo hello"] },
    "from the start of the process": {},
    "deleted by its time": { ttl: { seconds: 4n } },
    long: {},
  }[life.name];
  const request = { requestId: crypto.randomUUID(), name, spec };
  const { sandbox } = await insist(() => bench.client.createSandbox(request));
  if (sandbox === undefined) throw new Error("an answer without a sandbox");
  // the acknowledged row is there, once
  const { sandboxes } = await insist(() => bench.client.listSandboxes({}));
  expect(sandboxes.filter((each) => each.name === name).map(({ id }) => id)).toEqual([sandbox.id]);
  return sandbox;
}

async function use(sandbox: Sandbox, life: Life): Promise<void> {
  const { id } = sandbox;
  const whole = await reach(id, [life.name === "usual" ? Phase.COMPLETED : Phase.READY, Phase.FAILED]);
  expect(whole.failure).toBeUndefined();
  switch (life.name) {
    case "usual":
      expect(await readLogs(id)).toBe("hello\n");
      break;
    case "long":
      await vi.waitFor(() => expect(bench.readRecord()).toContain("store.touchSupervisors:before"), patience);
      break;
    case "deleted by its time":
      await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(timestampOf(sandbox) - 100), patience);
      bench.arm();
      return;
    case "from the start of the process":
  }
  const removal = { sandbox: id, requestId: crypto.randomUUID() };
  await insist(() => bench.client.deleteSandbox(removal));
}

function timestampOf({ expireTime }: Sandbox): number {
  return expireTime === undefined ? 0 : timestampMs(expireTime);
}

/** Lives, with the control plane killed at one point; asserts on the way that the sandbox is whole, and then gone. */
async function live(life: Life, killAt?: string): Promise<void> {
  bench.takeRecord();
  await bench.start({ killAt, armed: life.name === "from the start of the process" });
  if (life.name !== "deleted by its time") bench.arm();
  const sandbox = await create(life);
  await use(sandbox, life);
  await reach(sandbox.id, [Phase.DELETED]);
  await vi.waitFor(() => expect(bench.remainsOf(sandbox.id)).toEqual([]), patience);
  await bench.end();
}

/** Every point that a life reaches; each is tried in the first of the lives that reach it. */
async function findPoints(): Promise<ReadonlyMap<string, Life>> {
  const found = new Map<string, Life>();
  for (const life of lives) {
    await live(life);
    for (const point of bench.takeRecord()) if (!found.has(point)) found.set(point, life);
  }
  // without a sandbox whose time is over this commit changes nothing
  for (const point of ["store.expire:before", "store.expire:after"])
    if (found.has(point)) found.set(point, { name: "deleted by its time" });
  return found;
}

const points = await findPoints();

describe("kill -9 of the control plane", () => {
  it("is tried before and after every store commit and every driver call", () => {
    const methods = [
      ...crashPointMethods(PostgresSandboxStore.prototype, storeCrashPoints).map((method) => `store.${method}`),
      ...crashPointMethods(LocalDriver.prototype, driverCrashPoints).map((method) => `driver.${method}`),
    ];
    const tried = new Set([...points.keys()].map((point) => point.replace(/\(.*\)/, "")));
    expect(
      methods.flatMap((method) => [`${method}:before`, `${method}:after`]).filter((point) => !tried.has(point)),
    ).toEqual([]);
  });

  it.each([...points].sort(([a], [b]) => (a < b ? -1 : 1)))(
    "at %s leaves a sandbox that is whole, and nothing of one that is deleted (D-29)",
    async (point, life) => {
      onTestFailed(() => {
        process.stderr.write(`${bench.lastWords()}\n`);
      });
      await live(life, point);
      expect(bench.wasKilled()).toBe(true);
    },
    180_000,
  );
});
