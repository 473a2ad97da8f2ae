import { EndCause, IdleAction, Phase, type Sandbox } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DriverRefusal } from "./drivers/sandbox-driver.ts";
import { usualTiming } from "./module.ts";
import {
  connectSupervisor,
  type PlayedSupervisor,
  type RunningService,
  startSandboxService,
} from "./sandbox-service.fixture.ts";
import { ScriptedWorld } from "./scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "./store/sandbox-database.fixture.ts";

let database: SandboxDatabase;
let world: ScriptedWorld;
const running: RunningService[] = [];
const supervisors: PlayedSupervisor[] = [];

beforeAll(async () => {
  database = await createSandboxDatabase();
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  world = new ScriptedWorld();
  await database.pool.query("truncate sandboxes, requests cascade");
});
afterEach(async () => {
  for (const supervisor of supervisors.splice(0)) supervisor.disconnect();
  await Promise.all(running.splice(0).map((service) => service.stop()));
});

async function start(options: Parameters<typeof startSandboxService>[2] = {}): Promise<RunningService> {
  const service = await startSandboxService(database, world, options);
  running.push(service);
  return service;
}

/** Connects a supervisor that answers pings and nothing else. */
function play(service: RunningService, sandboxId: string, options: Parameters<typeof connectSupervisor>[2] = {}): void {
  const supervisor = connectSupervisor(service, sandboxId, options);
  supervisors.push(supervisor);
  supervisor.nextCommand(undefined).catch(() => {}); // plays on until the stream ends
}

/** Lets a supervisor connect to the service as soon as the machine starts one. */
function connectAtStart(service: RunningService, options: Parameters<typeof connectSupervisor>[2] = {}): void {
  world.onStart = ({ sandboxId }) => play(service, sandboxId, options);
}

async function createReady(service: RunningService): Promise<string> {
  connectAtStart(service);
  const id = await service.create();
  await service.reach(id, Phase.READY);
  return id;
}

const failureOf = ({ failure }: Sandbox) => `${failure?.stage}: ${failure?.fault}`;

describe("a new sandbox", () => {
  it("is provisioned in order and becomes READY", async () => {
    const service = await start();
    connectAtStart(service);
    const id = await service.create({ name: "web" });
    const sandbox = await service.reach(id, Phase.READY);
    expect(sandbox).toMatchObject({
      name: "web",
      spiffeId: `spiffe://sandgate.local/sandbox/${id}`,
      waitingFor: [],
      isolationGaps: ["cpu"],
      incarnation: 1n,
    });
    expect(world.calls.slice(0, 2)).toEqual(["prepare", "register"]);
    expect(world.calls.slice(2).sort()).toEqual(["bootstrap", "open", "policy", "start"]);
    for (const call of ["bootstrap", "open"])
      expect(world.calls.indexOf(call)).toBeLessThan(world.calls.indexOf("start"));
    expect(world.policies.get(id)?.caller).toBe("user/0d9a0000-0000-4000-8000-00000000000a");
  });

  it("can be named, and has its first policy, when CreateSandbox answers", async () => {
    const service = await start();
    const id = await service.create();
    expect(world.register.get(id)?.alive).toBe(true);
    expect(world.policies.has(id)).toBe(true);
  });

  it("answers a repeated CreateSandbox as the first time (A01)", async () => {
    const service = await start();
    const request = {
      requestId: crypto.randomUUID(),
      name: "web",
      spec: { command: ["true"], environment: { A: "1", B: "2" } },
    };
    const first = await service.asUser().createSandbox(request);
    const reordered = { ...request, spec: { command: ["true"], environment: { B: "2", A: "1" } } };
    expect(await service.asUser().createSandbox(reordered)).toEqual(first);
    await expect(service.asUser().createSandbox({ ...request, name: "other" })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    await expect(service.create({ name: "web" })).rejects.toMatchObject({ reason: "SANDBOX_NAME_TAKEN" });
  });

  it.each<[string, (service: RunningService) => void, string[]]>([
    ["a supervisor", () => {}, ["supervisor", "confinement"]],
    ["a proof of confinement", (service) => connectAtStart(service, { confined: "unreported" }), ["confinement"]],
    [
      "an enforced policy",
      (service) => {
        world.enforcesAtOnce = false;
        connectAtStart(service);
      },
      ["policy"],
    ],
  ])("without %s stays STARTING and says what it waits for", async (_, prepare, waitingFor) => {
    const service = await start();
    prepare(service);
    const id = await service.create();
    for await (const { sandbox } of service.asUser().watchSandbox({ sandbox: id })) {
      expect(sandbox?.phase).not.toBe(Phase.READY);
      if (sandbox?.phase === Phase.STARTING && sandbox.waitingFor.join() === waitingFor.join()) break;
    }
  });

  it("becomes READY when the policy is enforced later", async () => {
    const service = await start();
    world.enforcesAtOnce = false;
    connectAtStart(service);
    const id = await service.create();
    await service.reach(id, Phase.STARTING);
    world.enforce(id, 1n);
    await service.reach(id, Phase.READY);
  });

  it("whose probe breaks out is FAILED, and ended at once", async () => {
    const service = await start();
    connectAtStart(service, { confined: false });
    const id = await service.create();
    const sandbox = await service.reach(id, Phase.FAILED);
    expect(sandbox.failure).toMatchObject({ stage: "confinement", retriable: false, nextCommand: "sandgate doctor" });
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
  });

  it("that the machine refuses is FAILED with the driver's way to mend it", async () => {
    const service = await start();
    world.intercept = (call) => {
      if (call === "start")
        throw new DriverRefusal("no user namespaces here", "sudo sysctl user.max_user_namespaces=1000");
    };
    const id = await service.create();
    const sandbox = await service.reach(id, Phase.FAILED);
    expect(sandbox.failure).toMatchObject({
      stage: "start",
      fault: "it could not be started: no user namespaces here",
      retriable: false,
      nextCommand: "sudo sysctl user.max_user_namespaces=1000",
    });
  });

  it("survives an Auth and a Policy that are away for a moment", async () => {
    const service = await start();
    const failing = new Map([
      ["register", 2],
      ["policy", 1],
      ["bootstrap", 1],
    ]);
    world.intercept = (call) => {
      const left = failing.get(call) ?? 0;
      failing.set(call, left - 1);
      if (left > 0) throw new ServiceError("UNAVAILABLE", "away");
    };
    connectAtStart(service);
    const id = await service.create();
    await service.reach(id, Phase.READY);
    expect(world.machine.get(id)?.starts).toBe(1);
  });

  it("that cannot be provisioned in time is FAILED and can still be deleted", async () => {
    let away = true;
    const service = await start({ deps: { sweepIntervalMs: 20, timing: { provisioningMs: 500 } } });
    world.intercept = (call) => {
      if (away && call === "policy") throw new ServiceError("UNAVAILABLE", "away");
    };
    const id = await service.create();
    const failed = await service.reach(id, Phase.FAILED);
    expect(failureOf(failed)).toBe("provision: its first policy could not be stored: away");
    expect(failed.failure?.retriable).toBe(true);
    away = false;
    await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
    await service.reach(id, Phase.DELETED);
  });
});

describe("a READY sandbox", () => {
  it("whose supervisor's process is gone is FAILED: supervisor lost", async () => {
    const service = await start();
    const id = await createReady(service);
    world.lose(id);
    expect(failureOf(await service.reach(id, Phase.FAILED))).toBe("run: supervisor lost");
  });

  it("that an operator revokes is FAILED: revoked, and ended (G-15)", async () => {
    const service = await start();
    const id = await createReady(service);
    world.revoke(id);
    expect(failureOf(await service.reach(id, Phase.FAILED))).toBe("identity: revoked");
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
  });

  it("is deleted when its time is over", async () => {
    const service = await start({ deps: { sweepIntervalMs: 20 } });
    connectAtStart(service);
    const id = await service.create({ spec: { ttl: { seconds: 1n } } });
    await service.reach(id, Phase.DELETED);
    expect(world.machine.size).toBe(0);
  });

  it("stays READY through a restart of the service, and its supervisor comes back", async () => {
    const first = await start();
    const id = await createReady(first);
    await first.stop();
    const second = await start();
    expect((await second.asUser().getSandbox({ sandbox: id })).sandbox?.phase).toBe(Phase.READY);
    play(second, id);
    await expect.poll(() => world.calls.filter((call) => call === "open").length).toBe(2);
    await second.module.stop();
    running.splice(0);
    expect(world.machine.get(id)).toMatchObject({ running: true, starts: 1 });
  });

  it("whose process ended while the service was away is FAILED", async () => {
    const first = await start();
    const id = await createReady(first);
    await first.stop();
    const entry = world.machine.get(id);
    if (entry !== undefined) entry.running = false;
    const second = await start();
    expect(failureOf(await second.reach(id, Phase.FAILED))).toBe("run: supervisor lost");
  });

  it("whose supervisor is silent waits for it, and is READY again when it is back", async () => {
    let aheadMs = 0;
    const clock = () => Date.now() + aheadMs;
    const service = await start({ deps: { clock, sweepIntervalMs: 20, timing: { pingIntervalMs: 20 } } });
    world.onStart = ({ sandboxId }) => {
      supervisors.push(connectSupervisor(service, sandboxId)); // reads one command and answers nothing
    };
    const id = await service.create();
    await service.reach(id, Phase.READY);
    aheadMs = 31_000; // it may be silent for 30 s
    expect((await service.reach(id, Phase.STARTING)).waitingFor).toEqual(["supervisor"]);
    play(service, id);
    await service.reach(id, Phase.READY);
  });
});

describe("a main process", () => {
  it("is started once the sandbox is READY, and its end with 0 makes it COMPLETED", async () => {
    const service = await start();
    let started: Promise<readonly string[]> | undefined;
    world.onStart = ({ sandboxId }) => {
      const supervisor = connectSupervisor(service, sandboxId);
      supervisors.push(supervisor);
      started = supervisor.nextCommand("startMain").then(({ value }) => value.spec?.command ?? []);
    };
    const id = await service.create({ spec: { command: ["make", "test"] } });
    await service.reach(id, Phase.READY);
    expect(await started).toEqual(["make", "test"]);
    const exit = { sandboxId: id, incarnation: 1n, exit: { reason: 1, code: 0 } };
    await service.asSandbox(id).reportProcessExit(exit);
    const completed = await service.reach(id, Phase.COMPLETED);
    expect(completed.mainExit).toMatchObject({ reason: 1, code: 0 });
    await service.asSandbox(id).reportProcessExit(exit);
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
    expect(world.register.get(id)).toMatchObject({ alive: true, trusted: false });
    await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
    await service.reach(id, Phase.DELETED);
  });

  it.each([
    [{ reason: 1, code: 3 }, "run: the main process exited with an error"],
    [{ reason: 2, signal: "SIGKILL" }, "run: the main process was ended by a signal"],
  ])("that ends with %o makes the sandbox FAILED", async (exit, failure) => {
    const service = await start();
    connectAtStart(service);
    const id = await service.create({ spec: { command: ["make"] } });
    await service.reach(id, Phase.READY);
    await service.asSandbox(id).reportProcessExit({ sandboxId: id, incarnation: 1n, exit });
    expect(failureOf(await service.reach(id, Phase.FAILED))).toBe(failure);
    await expect.poll(() => world.register.get(id)?.trusted).toBe(false);
  });

  it("has its sandbox's identity revoked when it ends, as soon as Auth can be reached; its processes end all the same (G-15)", async () => {
    const service = await start();
    connectAtStart(service);
    const id = await service.create({ spec: { command: ["make"] } });
    await service.reach(id, Phase.READY);
    let isAuthAway = true;
    world.intercept = (call) => {
      if (call === "end" && isAuthAway) throw new ServiceError("UNAVAILABLE", "away");
    };
    await service.asSandbox(id).reportProcessExit({ sandboxId: id, incarnation: 1n, exit: { reason: 1, code: 0 } });
    await service.reach(id, Phase.COMPLETED);
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
    expect(world.register.get(id)?.trusted).toBe(true);
    isAuthAway = false;
    await expect.poll(() => world.register.get(id)?.trusted).toBe(false);
  });

  it.each([
    [{ incarnation: 2n, exit: { reason: 1, code: 0 } }, "SANDBOX_CHANGED"],
    [{ incarnation: 1n, exit: { reason: 1, code: 256 } }, "REQUEST_INVALID"],
    [{ incarnation: 1n, exit: { reason: 2, signal: "rm -rf" } }, "REQUEST_INVALID"],
    [{ incarnation: 1n, exit: { reason: 4 } }, "REQUEST_INVALID"],
    [{ incarnation: 1n }, "REQUEST_INVALID"],
  ])("report %o is refused: %s", async (report, reason) => {
    const service = await start();
    const id = await service.create();
    await expect(service.asSandbox(id).reportProcessExit({ sandboxId: id, ...report })).rejects.toMatchObject({
      reason,
    });
  });
});

describe("stop and start", () => {
  const ask = (service: RunningService, kind: "stopSandbox" | "startSandbox", id: string) =>
    service.asUser()[kind]({ sandbox: id, requestId: crypto.randomUUID() });

  it("stop revokes the identity, ends the processes and closes the way in; workspace, policy and name stay (D-29, G-15)", async () => {
    const service = await start();
    const id = await createReady(service);
    world.calls.splice(0);
    const { sandbox } = await ask(service, "stopSandbox", id);
    expect(sandbox).toMatchObject({ phase: Phase.STOPPING, desiredPhase: Phase.STOPPED, incarnation: 1n });
    await service.reach(id, Phase.STOPPED);
    expect(world.calls.slice(0, 3)).toEqual(["end", "stop", "close"]);
    expect(world.machine.get(id)).toMatchObject({ running: false });
    expect(world.register.get(id)).toMatchObject({ alive: true, trusted: false });
    expect(world.policies.has(id)).toBe(true);
    await expect(
      service
        .asSandbox(id)
        .connectSupervisor(
          (async function* () {
            yield { sandboxId: id, message: { case: "hello" as const, value: { incarnation: 2n } } };
          })(),
        )
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject({ reason: "SANDBOX_CHANGED" });
  });

  it("start gives the next incarnation, with another bootstrap, on the policy that there is", async () => {
    const service = await start();
    const id = await createReady(service);
    await ask(service, "stopSandbox", id);
    await service.reach(id, Phase.STOPPED);
    world.calls.splice(0);
    world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation });
    await ask(service, "startSandbox", id);
    const ready = await service.reach(id, Phase.READY);
    expect(ready).toMatchObject({ incarnation: 2n, desiredPhase: Phase.READY });
    expect(Number(ready.startTime?.seconds)).toBeGreaterThanOrEqual(Number(ready.createTime?.seconds));
    const calls = world.calls.filter((call) => call !== "end" && call !== "stop");
    expect(calls.slice(0, 2)).toEqual(["prepare", "register"]);
    expect(calls.slice(2).sort()).toEqual(["bootstrap", "open", "start"]);
    expect(world.register.get(id)).toMatchObject({ incarnation: 2n, trusted: true });
    expect(world.machine.get(id)).toMatchObject({ incarnation: 2n, running: true, starts: 2 });
    await expect(
      service.asSandbox(id, 1n).reportProcessExit({ sandboxId: id, incarnation: 1n, exit: { reason: 1, code: 0 } }),
    ).rejects.toMatchObject({ reason: "SANDBOX_CHANGED" });
  });

  it("what the supervisor before had told counts for nothing in the next incarnation", async () => {
    const service = await start();
    const id = await createReady(service); // its stream is never closed here
    await ask(service, "stopSandbox", id);
    await ask(service, "startSandbox", id);
    world.onStart = () => {};
    for await (const { sandbox } of service.asUser().watchSandbox({ sandbox: id })) {
      if (sandbox?.incarnation === 2n) expect(sandbox.phase).not.toBe(Phase.READY);
      if (sandbox?.phase === Phase.STARTING && sandbox.waitingFor.length > 0) {
        expect(sandbox.waitingFor).toEqual(["supervisor", "confinement"]);
        break;
      }
    }
  });

  it("the late news that the supervisor before has ended ends nothing", async () => {
    const service = await start();
    const id = await createReady(service);
    await ask(service, "stopSandbox", id);
    world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation });
    await ask(service, "startSandbox", id);
    await service.reach(id, Phase.READY);
    world.tellEnd(id, 1n);
    // its supervisor's next report has the sandbox looked at again
    await service.asSandbox(id, 2n).reportProcessExit({ sandboxId: id, incarnation: 2n, exit: { reason: 1, code: 0 } });
    world.tellEnd(id, 1n);
    await service.asUser().updateSandbox({ sandbox: id, requestId: crypto.randomUUID(), setLabels: { a: "b" } });
    const update = ({ sandbox }: { sandbox?: Sandbox | undefined }) => sandbox?.labels["a"] === "b";
    for await (const response of service.asUser().watchSandbox({ sandbox: id, history: true })) {
      expect(response.sandbox?.phase).not.toBe(Phase.FAILED);
      if (!response.past && update(response)) break;
    }
    await service.module.stop(); // nothing is under way any more
    running.splice(0);
    const { rows } = await database.pool.query<{ phase: string }>("select phase from sandboxes where id = $1", [id]);
    expect(rows[0]?.phase).toBe("READY");
  });

  it("a main process runs again, and its output goes on behind the first", async () => {
    const service = await start();
    connectAtStart(service);
    const id = await service.create({ spec: { command: ["make"] } });
    await service.reach(id, Phase.READY);
    const finish = async (incarnation: bigint) => {
      const by = service.asSandbox(id, incarnation);
      const data = Buffer.from(`run ${incarnation}\n`);
      const { storedOffset } = await by.pushSandboxLogs(
        (async function* () {
          yield { sandboxId: id, incarnation, data };
        })(),
      );
      expect(storedOffset).toBe(BigInt(data.length));
      await by.reportProcessExit({ sandboxId: id, incarnation, exit: { reason: 1, code: 0 } });
    };
    await finish(1n);
    await service.reach(id, Phase.COMPLETED);
    expect((await ask(service, "stopSandbox", id)).sandbox).toMatchObject({ phase: Phase.COMPLETED });
    world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation });
    await ask(service, "startSandbox", id);
    expect((await service.reach(id, Phase.READY)).mainExit).toBeUndefined();
    await finish(2n);
    await service.reach(id, Phase.COMPLETED);
    let output = "";
    for await (const { data } of service.asUser().readSandboxLogs({ sandbox: id, follow: true }))
      output += Buffer.from(data).toString();
    expect(output).toBe("run 1\nrun 2\n");
  });

  it("one that FAILED is started again, but for one that was revoked by hand (G-15)", async () => {
    const service = await start();
    const id = await createReady(service);
    world.lose(id);
    await service.reach(id, Phase.FAILED);
    world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation });
    await ask(service, "startSandbox", id);
    expect((await service.reach(id, Phase.READY)).failure).toBeUndefined();
    world.revoke(id);
    expect(failureOf(await service.reach(id, Phase.FAILED))).toBe("identity: revoked");
    await expect(ask(service, "startSandbox", id)).rejects.toMatchObject({ reason: "SANDBOX_REVOKED" });
  });

  it("stop ends the processes also while Auth is away, and is done when Auth is back", async () => {
    const service = await start();
    const id = await createReady(service);
    let away = true;
    world.intercept = (call) => {
      if (call === "end" && away) throw new ServiceError("UNAVAILABLE", "away");
    };
    await ask(service, "stopSandbox", id);
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
    expect((await service.asUser().getSandbox({ sandbox: id })).sandbox?.phase).toBe(Phase.STOPPING);
    away = false;
    await service.reach(id, Phase.STOPPED);
    expect(world.register.get(id)?.trusted).toBe(false);
  });

  it("one that is STOPPED is deleted with its entry in the register, also by its time", async () => {
    const service = await start({ deps: { sweepIntervalMs: 20 } });
    for (const spec of [{}, { ttl: { seconds: 2n } }]) {
      connectAtStart(service);
      const id = await service.create({ spec });
      await service.reach(id, Phase.READY);
      await ask(service, "stopSandbox", id);
      await service.reach(id, Phase.STOPPED);
      if (!("ttl" in spec)) await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
      await service.reach(id, Phase.DELETED);
      expect(world.register.get(id)?.alive).toBe(false);
      expect(world.machine.has(id)).toBe(false);
    }
  });

  it("a restart of the service starts nothing that is STOPPED, and opens no socket of it", async () => {
    const first = await start();
    const id = await createReady(first);
    await ask(first, "stopSandbox", id);
    await first.reach(id, Phase.STOPPED);
    await first.stop();
    running.splice(0);
    world.calls.splice(0);
    const second = await start({ deps: { sweepIntervalMs: 5 } });
    await expect.poll(() => second.module.checks.sandboxes_swept?.()).toBeUndefined();
    expect(world.calls.filter((call) => call === "open" || call === "start")).toEqual([]);
    expect(world.machine.get(id)).toMatchObject({ running: false });
  });
});

describe("a sandbox with an idle timeout", () => {
  let aheadMs = 0;
  let idleMs = 0;
  beforeEach(() => {
    aheadMs = 0;
    idleMs = 0;
  });
  const clock = () => Date.now() + aheadMs;
  const hurried = { deps: { clock, sweepIntervalMs: 10, timing: { pingIntervalMs: 10 } } };
  /** The time passes in which nothing happens. */
  const pass = (ms: number) => {
    aheadMs += ms;
    idleMs += ms;
  };
  async function createIdling(idleAction: IdleAction, options = hurried): Promise<[RunningService, string]> {
    const service = await start(options);
    world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation, idleMs: () => idleMs });
    const id = await service.create({ spec: { idleTimeout: { seconds: 20n }, idleAction } });
    await service.reach(id, Phase.READY);
    return [service, id];
  }
  const get = async (service: RunningService, id: string) =>
    (await service.asUser().getSandbox({ sandbox: id })).sandbox;

  it.each([
    [IdleAction.UNSPECIFIED, Phase.STOPPED],
    [IdleAction.STOP, Phase.STOPPED],
    [IdleAction.DELETE, Phase.DELETED],
  ])("of action %s ends in phase %s when nothing happens for as long, and not before", async (action, phase) => {
    const [service, id] = await createIdling(action);
    const begunMs = clock();
    let endedMs = 0;
    await expect
      .poll(async () => {
        pass(2_000);
        const sandbox = await get(service, id);
        if (sandbox?.phase !== Phase.READY && endedMs === 0) endedMs = clock();
        return sandbox?.phase;
      })
      .toBe(phase);
    expect(endedMs - begunMs).toBeGreaterThanOrEqual(20_000);
    expect((await get(service, id))?.endCause).toBe(EndCause.IDLE);
    const { events } = await service.asUser().listAuditEvents({ sandboxId: id, action: "sandbox.idled" });
    expect(events).toMatchObject([{ details: { action: action === IdleAction.DELETE ? "DELETE" : "STOP" } }]);
  });

  it("stays while its supervisor says that something happens, also where its stream begins anew", async () => {
    const [service, id] = await createIdling(IdleAction.STOP);
    const begunMs = clock();
    await expect
      .poll(async () => {
        aheadMs += 5_000; // in which it is never idle
        return Number((await get(service, id))?.idleTime?.seconds) * 1000;
      })
      .toBeGreaterThan(begunMs + 60_000);
    expect((await get(service, id))?.phase).toBe(Phase.READY);
    idleMs = 15_000;
    play(service, id, { idleMs: () => idleMs });
    await expect
      .poll(async () => {
        pass(4_000);
        return (await get(service, id))?.phase;
      })
      .toBe(Phase.STOPPED);
  });

  it("is not ended by what was true before the service was away", async () => {
    const [first, id] = await createIdling(IdleAction.STOP);
    await first.stop();
    running.splice(0);
    aheadMs += 3_600_000;
    const second = await start(hurried);
    play(second, id, { idleMs: () => 0 });
    await expect
      .poll(async () => Number((await get(second, id))?.activeTime?.seconds) * 1000)
      .toBeGreaterThan(clock() - 60_000);
    expect(await get(second, id)).toMatchObject({ phase: Phase.READY });
  });

  it("that a command is run in is not ended under it", async () => {
    const [service, id] = await createIdling(IdleAction.STOP, {
      deps: { ...hurried.deps, sweepIntervalMs: 600_000, timing: { ...hurried.deps.timing } },
    });
    pass(19_000);
    const calling = new AbortController();
    const exec = service.asUser().execSandbox(
      (async function* () {
        yield { sandbox: id, message: { case: "start" as const, value: { command: ["true"] } } };
      })(),
      { signal: calling.signal },
    );
    exec[Symbol.asyncIterator]()
      .next()
      .catch(() => {}); // it is given up below
    await expect
      .poll(async () => Number((await get(service, id))?.activeTime?.seconds) * 1000)
      .toBeGreaterThan(clock() - 60_000);
    pass(2_000);
    const store = database.createStore();
    const event = { action: "sandbox.idled", principal: "p", peer: "none" };
    expect(await store.endIdle({ event, nowMs: clock(), limit: 9 })).toEqual([]);
    calling.abort();
  });

  it("says so in no phase but READY", async () => {
    const [service, id] = await createIdling(IdleAction.STOP);
    expect((await get(service, id))?.idleTime).toBeDefined();
    await service.asUser().stopSandbox({ sandbox: id, requestId: crypto.randomUUID() });
    expect((await service.reach(id, Phase.STOPPED)).idleTime).toBeUndefined();
  });
});

describe("an update", () => {
  it("lengthens a life, gives an idle timeout and other labels; repeated it changes nothing (A01)", async () => {
    const service = await start();
    const id = await service.create({ name: "web", labels: { team: "web" }, spec: { ttl: { seconds: 60n } } });
    const request = {
      sandbox: "web",
      requestId: crypto.randomUUID(),
      expireAfter: { seconds: 7200n },
      idleTimeout: { seconds: 30n },
      idleAction: IdleAction.DELETE,
      setLabels: { tier: "b" },
      removeLabels: ["team"],
    };
    const { sandbox } = await service.asUser().updateSandbox(request);
    expect(sandbox).toMatchObject({
      id,
      labels: { tier: "b" },
      spec: { idleTimeout: { seconds: 30n }, idleAction: IdleAction.DELETE },
    });
    const remaining = Number(sandbox?.expireTime?.seconds) - Date.now() / 1000;
    expect(remaining).toBeGreaterThan(7100);
    expect(await service.asUser().updateSandbox(request)).toEqual({
      ...(await service.asUser().updateSandbox(request)),
      sandbox,
    });
    await expect(service.asUser().updateSandbox({ ...request, expireAfter: { seconds: 1n } })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    const { events } = await service.asUser().listAuditEvents({ sandboxId: id, action: "sandbox.updated" });
    expect(events).toHaveLength(1);
  });

  it("keeps a sandbox that was about to be deleted by its time, and none that is", async () => {
    const service = await start({ deps: { sweepIntervalMs: 20 } });
    const id = await service.create({ spec: { ttl: { seconds: 1n } } });
    const update = (expireAfter: { seconds: bigint }) =>
      service.asUser().updateSandbox({ sandbox: id, requestId: crypto.randomUUID(), expireAfter });
    expect((await update({ seconds: 0n })).sandbox?.expireTime).toBeUndefined();
    await update({ seconds: 1n });
    await service.reach(id, Phase.DELETED);
    await expect(update({ seconds: 100n })).rejects.toMatchObject({ reason: "SANDBOX_DELETING" });
  });

  it.each([
    [{ expireAfter: { seconds: 400n * 86_400n } }, "expire_after"],
    [{ idleTimeout: { seconds: 1n } }, "idle_timeout"],
    [{ idleAction: 9 }, "idle_action"],
    [{ setLabels: { "a b": "" } }, "set_labels"],
    [{ setLabels: { a: "" }, removeLabels: ["a"] }, "remove_labels"],
    [{ removeLabels: Array.from({ length: 33 }, (_, index) => `k${index}`) }, "remove_labels"],
  ])("with %o is refused", async (part, field) => {
    const service = await start();
    const sandbox = await service.create();
    await expect(
      service.asUser().updateSandbox({ sandbox, requestId: crypto.randomUUID(), ...part }),
    ).rejects.toMatchObject({ reason: "REQUEST_INVALID", metadata: { field } });
  });
});

describe("deletion", () => {
  it("S0-31 gives processes 5 seconds to end, and is the same for a sandbox that is gone already", async () => {
    const service = await start({ deps: { timing: usualTiming } });
    const id = await createReady(service);
    const removal = { sandbox: id, requestId: crypto.randomUUID() };
    const first = await service.asUser().deleteSandbox(removal);
    await service.reach(id, Phase.DELETED);
    expect(world.gracesMs).toEqual([5_000]);
    world.calls.splice(0);
    expect(await service.asUser().deleteSandbox(removal)).toEqual(first);
    const { sandbox } = await service.asUser().deleteSandbox({ ...removal, requestId: crypto.randomUUID() });
    expect(sandbox?.phase).toBe(Phase.DELETED);
    expect(world.calls).toEqual([]);
  });

  it("revokes the identity first, then ends and removes everything (G-15)", async () => {
    const service = await start();
    const id = await createReady(service);
    world.calls.splice(0);
    const { sandbox } = await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
    expect(sandbox?.desiredPhase).toBe(Phase.DELETED);
    await service.reach(id, Phase.DELETED);
    expect(world.calls).toEqual(["retire", "stop", "close", "destroy"]);
    expect(world.machine.size).toBe(0);
  });

  it("ends the processes also while Auth is away, and is done when Auth is back", async () => {
    const service = await start();
    const id = await createReady(service);
    let away = true;
    world.intercept = (call) => {
      if (call === "retire" && away) throw new ServiceError("UNAVAILABLE", "away");
    };
    await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
    await expect.poll(() => world.machine.get(id)?.running).toBe(false);
    expect((await service.asUser().getSandbox({ sandbox: id })).sandbox?.phase).toBe(Phase.STOPPING);
    away = false;
    await service.reach(id, Phase.DELETED);
    expect(world.register.get(id)?.alive).toBe(false);
  });

  it("frees the name", async () => {
    const service = await start();
    const id = await service.create({ name: "web" });
    await service.asUser().deleteSandbox({ sandbox: "web", requestId: crypto.randomUUID() });
    await service.reach(id, Phase.DELETED);
    expect(await service.create({ name: "web" })).not.toBe(id);
  });
});

describe("the sweep", () => {
  it("destroys what no row lives for (D-29)", async () => {
    world.machine.set("sbx-orphanorphanorphanor", { incarnation: 1n, running: true, starts: 1 });
    await start();
    await expect.poll(() => world.machine.size).toBe(0);
  });

  it("of two replicas steps each sandbox once", async () => {
    const services = await Promise.all([1, 2].map(() => start({ deps: { sweepIntervalMs: 5 } })));
    const [first] = services;
    if (first === undefined) throw new Error("there is no service");
    connectAtStart(first);
    const ids = await Promise.all(services.flatMap((service) => [1, 2, 3].map(() => service.create())));
    await Promise.all(ids.map((id) => first.reach(id, Phase.READY)));
    for (const id of ids) expect(world.machine.get(id)?.starts).toBe(1);
    expect(world.calls.filter((call) => call === "bootstrap")).toHaveLength(ids.length);
  });
});

describe("a service that dies before any one call to the outside", () => {
  /** Everything outside fails from the given call on, as it does for a process that is dead; then another one takes over. */
  async function dieAt(
    point: number,
    use: (service: RunningService) => Promise<string>,
  ): Promise<{ id: string; reached: boolean }> {
    let calls = 0;
    let reached = false;
    const outside = world.intercept;
    const dead = Promise.withResolvers<void>();
    world.intercept = () => {
      calls += 1;
      if (calls < point) return;
      reached = true;
      dead.resolve();
      throw new ServiceError("UNAVAILABLE", "this process is dead");
    };
    const first = await startSandboxService(database, world);
    connectAtStart(first);
    const id = await Promise.race([use(first), dead.promise.then(() => "")]);
    await first.stop();
    world.intercept = outside;
    const { rows } = await database.pool.query<{ id: string }>("select id from sandboxes");
    return { id: id === "" ? (rows[0]?.id ?? "") : id, reached };
  }

  it("leaves a sandbox whole for the next one", async () => {
    for (let point = 1, reached = true; reached; point += 1) {
      world = new ScriptedWorld();
      await database.pool.query("truncate sandboxes, requests cascade");
      const death = await dieAt(point, async (service) => {
        const id = await service.create().catch(() => "");
        if (id !== "") await service.reach(id, Phase.READY);
        return id;
      });
      reached = death.reached;
      const second = await start();
      connectAtStart(second);
      if (world.machine.get(death.id)?.running === true) play(second, death.id);
      await second.reach(death.id, Phase.READY);
      expect(world.machine.get(death.id)?.starts).toBe(1);
      await second.stop();
      running.splice(0);
    }
  });

  it("leaves a sandbox that is stopped and started again to the next one, with one start for each incarnation", async () => {
    for (let point = 7, reached = true; reached; point += 1) {
      world = new ScriptedWorld();
      await database.pool.query("truncate sandboxes, requests cascade");
      const death = await dieAt(point, async (service) => {
        world.onStart = ({ sandboxId, incarnation }) => play(service, sandboxId, { incarnation });
        const id = await service.create().catch(() => "");
        await service.reach(id, Phase.READY);
        await service.asUser().stopSandbox({ sandbox: id, requestId: crypto.randomUUID() });
        await service.reach(id, Phase.STOPPED);
        await service.asUser().startSandbox({ sandbox: id, requestId: crypto.randomUUID() });
        await service.reach(id, Phase.READY);
        return id;
      });
      reached = death.reached;
      const second = await start();
      world.onStart = ({ sandboxId, incarnation }) => play(second, sandboxId, { incarnation });
      const entry = world.machine.get(death.id);
      if (entry?.running === true) play(second, death.id, { incarnation: entry.incarnation ?? 1n });
      // one that was to be stopped stays so until it is asked for
      await second.asUser().startSandbox({ sandbox: death.id, requestId: crypto.randomUUID() });
      const ready = await second.reach(death.id, Phase.READY);
      expect(world.machine.get(death.id)).toMatchObject({ running: true, incarnation: ready.incarnation });
      expect(world.machine.get(death.id)?.starts).toBe(Number(ready.incarnation));
      expect(world.register.get(death.id)).toMatchObject({ incarnation: ready.incarnation, trusted: true });
      await second.stop();
      running.splice(0);
    }
  });

  it("leaves a sandbox that is to go to the next one", async () => {
    for (let point = 7, reached = true; reached; point += 1) {
      world = new ScriptedWorld();
      await database.pool.query("truncate sandboxes, requests cascade");
      const death = await dieAt(point, async (service) => {
        const id = await service.create().catch(() => "");
        await service.reach(id, Phase.READY);
        await service.asUser().deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
        await service.reach(id, Phase.DELETED);
        return id;
      });
      reached = death.reached;
      const second = await start();
      await second.reach(death.id, Phase.DELETED);
      expect(world.machine.size).toBe(0);
      expect(world.register.get(death.id)?.alive).toBe(false);
      await second.stop();
      running.splice(0);
    }
  });
});
