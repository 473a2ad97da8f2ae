import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Phase, type Sandbox } from "@sandgate/api/sandbox";
import { crashPointMethods } from "@sandgate/testing";
import { afterAll, describe, expect, it, onTestFailed, vi } from "vitest";
import { PostgresAuthStore } from "../../services/auth/src/store/postgres-auth-store.ts";
import { PostgresPolicyStore } from "../../services/policy/src/store/postgres-policy-store.ts";
import { LocalDriver } from "../../services/sandbox/src/drivers/local/local-driver.ts";
import { PostgresSandboxStore } from "../../services/sandbox/src/store/postgres-sandbox-store.ts";
import { createCrashBench } from "./crash/crash-bench.ts";
import { authCrashPoints, driverCrashPoints, policyCrashPoints, storeCrashPoints } from "./crash/crash-points.ts";

/** A way for one sandbox to live, and the time from which on crash points count. */
interface Life {
  readonly name:
    | "usual"
    | "from the start of the process"
    | "long"
    | "deleted by its time"
    | "revoked"
    | "renewing its session"
    | "away for longer than its session";
  readonly sessionSeconds?: number;
}

const lives: readonly Life[] = [
  { name: "usual" },
  { name: "from the start of the process" },
  { name: "deleted by its time" },
  { name: "long" },
  { name: "revoked" },
  { name: "renewing its session", sessionSeconds: 10 },
  { name: "away for longer than its session", sessionSeconds: 6 },
];
/** Asks the proxy until it answers that the policy denies the host, and not that it has no news of the policy yet. */
const deniedRequest = `const ask = () => require("node:http").get("http://denied.example/", (answer) => {
    answer.resume();
    if (answer.headers["x-deny-reason"] === "host_not_allowed") console.log("hello"); else setTimeout(ask, 100);
  }).on("error", () => setTimeout(ask, 100));
  ask();`;
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
    usual: { command: ["/opt/sandgate/bin/node", "-e", deniedRequest] },
    "from the start of the process": {},
    "deleted by its time": { ttl: { seconds: 4n } },
    long: {},
    revoked: {},
    "renewing its session": {},
    "away for longer than its session": {},
  }[life.name];
  const request = { requestId: crypto.randomUUID(), name, spec };
  const { sandbox } = await insist(() => bench.client.createSandbox(request));
  if (sandbox === undefined) throw new Error("an answer without a sandbox");
  // the acknowledged row is there, once
  const { sandboxes } = await insist(() => bench.client.listSandboxes({}));
  expect(sandboxes.filter((each) => each.name === name).map(({ id }) => id)).toEqual([sandbox.id]);
  return sandbox;
}

/** The hosts of the requests that the policy denied, as the list of decisions has them. */
async function findDenials(id: string): Promise<readonly string[]> {
  const { decisions } = await insist(() => bench.policy.listDecisions({ sandbox: id }));
  return decisions.filter(({ reason }) => reason === "host_not_allowed").map(({ host }) => host);
}

/** The policy that was acknowledged is there, once. */
async function expectPolicy(id: string): Promise<void> {
  const { revisions } = await insist(() => bench.policy.listPolicyRevisions({ sandbox: id }));
  expect(revisions.map(({ revision }) => revision)).toEqual([1n]);
}

async function untilReached(point: string): Promise<void> {
  await vi.waitFor(() => expect(bench.readRecord()).toContain(point), patience);
}

async function use(sandbox: Sandbox, life: Life, killAt: string | undefined): Promise<void> {
  const { id } = sandbox;
  const whole = await reach(id, [life.name === "usual" ? Phase.COMPLETED : Phase.READY, Phase.FAILED]);
  expect(whole.failure).toBeUndefined();
  await expectPolicy(id);
  switch (life.name) {
    case "usual":
      expect(await readLogs(id)).toBe("hello\n");
      await vi.waitFor(async () => expect(await findDenials(id)).toEqual(["denied.example"]), patience);
      break;
    case "long":
      await untilReached("store.touchSupervisors:before");
      break;
    case "renewing its session":
      await untilReached("auth.refresh:before");
      break;
    case "away for longer than its session": {
      const { sessionSeconds = 0 } = life;
      await bench.end();
      const over = Date.now() + sessionSeconds * 1_000;
      await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(over), patience);
      await bench.start({ killAt, armed: true, sessionSeconds });
      await untilReached("auth.rejoin:before");
      await reach(id, [Phase.READY]);
      break;
    }
    case "revoked":
      await insist(() => bench.auth.revokeSandbox({ sandbox: id, reason: "a test" }));
      expect((await reach(id, [Phase.FAILED])).failure?.fault).toBe("revoked");
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
  const { sessionSeconds } = life;
  await bench.start({ killAt, armed: life.name === "from the start of the process", sessionSeconds });
  if (life.name !== "deleted by its time") bench.arm();
  const sandbox = await create(life);
  await use(sandbox, life, killAt);
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
  const owners = {
    "store.expire": "deleted by its time", // without a sandbox whose time is over this commit changes nothing
    "policy.prune": "from the start of the process", // it may end just when another life begins to count
  } as const;
  for (const [method, name] of Object.entries(owners))
    for (const point of [`${method}:before`, `${method}:after`]) if (found.has(point)) found.set(point, { name });
  return found;
}

const points = await findPoints();

describe("kill -9 of the control plane", () => {
  it("is tried before and after every store commit and every driver call", () => {
    const methods = [
      ...crashPointMethods(PostgresSandboxStore.prototype, storeCrashPoints).map((method) => `store.${method}`),
      ...crashPointMethods(PostgresAuthStore.prototype, authCrashPoints).map((method) => `auth.${method}`),
      ...crashPointMethods(PostgresPolicyStore.prototype, policyCrashPoints).map((method) => `policy.${method}`),
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
