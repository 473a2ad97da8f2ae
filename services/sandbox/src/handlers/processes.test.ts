import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type AttachProcessRequestSchema,
  ExitReason,
  type OpenExec,
  Phase,
  ProcessSchema,
  type RelayExecRequestSchema,
} from "@sandgate/api/sandbox";
import { AuditUnavailableError } from "@sandgate/audit";
import { OutputLog, ProcessRecords } from "@sandgate/process-log";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  begin,
  connectSupervisor,
  Outgoing,
  type PlayedSupervisor,
  type RunningService,
  startSandboxService,
} from "../sandbox-service.fixture.ts";
import { ScriptedWorld } from "../scripted-world.fixture.ts";
import { createSandboxDatabase, type SandboxDatabase } from "../store/sandbox-database.fixture.ts";

type Relayed = MessageInitShape<typeof RelayExecRequestSchema>;

const processId = `prc-${"b".repeat(20)}`;
const requestId = "5f0c0000-0000-4000-8000-000000000001";

let database: SandboxDatabase;
let service: RunningService;
let world: ScriptedWorld;
let kept: string;
let id: string;
let supervisor: PlayedSupervisor;

beforeAll(async () => {
  database = await createSandboxDatabase();
  kept = mkdtempSync(join(tmpdir(), "kept-"));
  world = new ScriptedWorld();
  const driver = { ...world.driver, processDirectory: () => kept };
  service = await startSandboxService(database, world, { deps: { driver, timing: { supervisorTimeoutMs: 500 } } });
  world.onStart = ({ sandboxId }) => {
    supervisor = connectSupervisor(service, sandboxId);
  };
  id = await service.create();
  const ready = service.reach(id, Phase.READY);
  opened = supervisor.nextCommand("openExec");
  await ready;
});
afterAll(async () => {
  supervisor.disconnect();
  await service.stop();
  await database.drop();
  rmSync(kept, { recursive: true });
});

/** The next call that the supervisor is told of. */
let opened: Promise<{ readonly value: OpenExec }>;
async function nextCall(): Promise<OpenExec> {
  const { value } = await opened;
  opened = supervisor.nextCommand("openExec");
  opened.catch(() => {}); // the stream ends with the test
  return value;
}

/** The supervisor takes the next call and says these things; then it breaks off where `breaks` says so. */
async function answer(...says: readonly Omit<Relayed, "$typeName">[]) {
  const call = await nextCall();
  const relay = new Outgoing<Relayed>();
  const broken = new AbortController();
  relay.push({ sandboxId: id, execId: call.execId }, ...says.map((each) => ({ ...each, sandboxId: id })));
  const inputs = begin(service.asSandbox(id).relayExec(relay, { signal: broken.signal }));
  return { call, inputs, relay, break: () => broken.abort() };
}

const user = () => service.asUser();
const fault = (reason: string, message = "it is refused") => ({
  answer: { case: "fault" as const, value: { reason, message, metadata: { a: "b\n" } } },
});

describe("StartProcess", () => {
  const request = { requestId, start: { command: ["true"] } };

  it("hands the caller's request to the supervisor, and its answer back", async () => {
    const started = user().startProcess({ ...request, sandbox: id, limits: { outputBytes: 7n } });
    const { call } = await answer({ answer: { case: "startProcess", value: { process: { processId } } } });
    expect(call.operation).toMatchObject({ case: "startProcess", value: { requestId, limits: { outputBytes: 7n } } });
    expect((await started).process?.processId).toBe(processId);
  });

  it.each([
    ["no request id", { requestId: "" }, "request_id"],
    ["no command", { start: {} }, "start.command"],
    ["a variable of ours", { start: { command: ["x"], environment: { SANDGATE_X: "y" } } }, "start.environment"],
    ["a time of nothing", { limits: { timeout: {} } }, "limits.timeout"],
    ["too much kept", { limits: { keptOutputBytes: 1n << 40n } }, "limits.kept_output_bytes"],
    ["less than nothing", { limits: { outputBytes: -1n } }, "limits.output_bytes"],
  ])("refuses %s", async (_, change, field) => {
    await expect(user().startProcess({ ...request, sandbox: id, ...change })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field },
    });
  });

  it("is on record before the caller hears of it, with what was run and without what it was given", async () => {
    const start = { command: ["curl", "--header", "secret"], environment: { KEY: "secret" } };
    const started = user().startProcess({ requestId, start, sandbox: id });
    await answer({ answer: { case: "startProcess", value: { process: { processId } } } });
    await started;
    const { events } = await user().listAuditEvents({ sandboxId: id, action: "sandbox.process_started", pageSize: 1 });
    expect(events).toMatchObject([{ sandboxId: id, details: { program: "curl", request_id: requestId } }]);
    expect(events[0]?.principal).toMatch(/^spiffe:.*\/user\//);
    expect(JSON.stringify(events[0]?.details)).not.toContain("secret");
  });

  it("is not answered where it cannot be put on record, and the supervisor is told", async () => {
    const audit = {
      list: () => Promise.reject(new Error("not asked")),
      verify: () => Promise.reject(new Error("not asked")),
      record: () => Promise.reject(new AuditUnavailableError("full")),
    };
    const own = new ScriptedWorld();
    const ownDatabase = await createSandboxDatabase();
    const deaf = await startSandboxService(ownDatabase, own, { deps: { audit } });
    own.onStart = ({ sandboxId }) => {
      there.resolve(connectSupervisor(deaf, sandboxId));
    };
    const there = Promise.withResolvers<PlayedSupervisor>();
    const sandbox = await deaf.create();
    const ready = deaf.reach(sandbox, Phase.READY);
    const command = there.promise.then((played) => played.nextCommand("openExec"));
    await ready;
    const refused = expect(deaf.asUser().startProcess({ ...request, sandbox })).rejects.toMatchObject({
      reason: "UNAVAILABLE",
    });
    const relay = new Outgoing<Relayed>();
    relay.push({ sandboxId: sandbox, execId: (await command).value.execId });
    const inputs = begin(deaf.asSandbox(sandbox).relayExec(relay));
    await refused;
    await expect(inputs.next()).rejects.toMatchObject({ reason: expect.stringMatching("CANCELLED|PROCESS_NOT_FOUND") });
    (await there.promise).disconnect();
    await deaf.stop();
    await ownDatabase.drop();
  });

  it("passes on why the supervisor refuses, in plain text", async () => {
    const started = expect(user().startProcess({ ...request, sandbox: id })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
      message: "was used?[31m",
      metadata: { a: "b?" },
    });
    await answer(fault("REQUEST_ID_REUSED", "was used\u001b[31m"));
    await started;
  });

  it.each(["CREDENTIAL_REJECTED", "NOTHING", "INTERNAL"])("takes %s for the supervisor's own fault", async (reason) => {
    const started = expect(user().startProcess({ ...request, sandbox: id })).rejects.toMatchObject({
      reason: "SUPERVISOR_LOST",
      metadata: {},
    });
    await answer(fault(reason));
    await started;
  });

  it("takes the answer to another question for the supervisor's fault, too", async () => {
    const started = expect(user().startProcess({ ...request, sandbox: id })).rejects.toMatchObject({
      reason: "SUPERVISOR_LOST",
    });
    await answer({ answer: { case: "listProcesses", value: {} } });
    await started;
  });
});

describe.each<[string, () => Promise<unknown>, string]>([
  ["WriteProcessInput without input", () => user().writeProcessInput({ sandbox: id, processId }), "input"],
  [
    "WriteProcessInput before its beginning",
    () => user().writeProcessInput({ sandbox: id, processId, input: { offset: -1n } }),
    "input.offset",
  ],
  ["SignalProcess with a number", () => user().signalProcess({ sandbox: id, processId, signal: "9" }), "signal"],
  [
    "SignalProcess for a path",
    () => user().signalProcess({ sandbox: id, processId: "../x", signal: "SIGHUP" }),
    "process_id",
  ],
  [
    "WaitProcess for an hour",
    () => user().waitProcess({ sandbox: id, processId, timeout: { seconds: 3600n } }),
    "timeout",
  ],
])("%s", (_, call, field) => {
  it("is refused", async () => {
    await expect(call()).rejects.toMatchObject({ reason: "REQUEST_INVALID", metadata: { field } });
  });
});

describe("a sandbox with an idle timeout", () => {
  it("is active when something is begun in it, and not when somebody looks", async () => {
    const first = supervisor;
    const idling = await service.create({ spec: { idleTimeout: { seconds: 3_600n } } });
    const ready = service.reach(idling, Phase.READY);
    const own = supervisor;
    let command = own.nextCommand("openExec");
    await ready;
    const idleMs = async () => {
      const { idleTime } = (await user().getSandbox({ sandbox: idling })).sandbox ?? {};
      return idleTime === undefined ? 0 : timestampMs(idleTime);
    };
    const answerOf = async (says: Omit<Relayed, "$typeName">): Promise<void> => {
      const { execId } = (await command).value;
      command = own.nextCommand("openExec");
      command.catch(() => {}); // the stream ends with the test
      const relay = new Outgoing<Relayed>();
      relay.push({ sandboxId: idling, execId }, { ...says, sandboxId: idling });
      begin(service.asSandbox(idling).relayExec(relay));
    };
    const before = await idleMs();
    const listed = user().listProcesses({ sandbox: idling });
    await answerOf({ answer: { case: "listProcesses", value: {} } });
    await listed;
    expect(await idleMs()).toBe(before);
    await vi.waitUntil(() => Date.now() + 3_600_000 > before);
    const started = user().startProcess({ requestId, start: { command: ["true"] }, sandbox: idling });
    await answerOf({ answer: { case: "startProcess", value: {} } });
    await started;
    expect(await idleMs()).toBeGreaterThan(before);
    own.disconnect();
    supervisor = first;
  });
});

describe("AttachProcess", () => {
  type Message = MessageInitShape<typeof AttachProcessRequestSchema>;
  const attach = (offset = 0n): Message => ({ sandbox: id, message: { case: "attach", value: { processId, offset } } });
  const output = (offset: bigint, text: string) => ({
    answer: {
      case: "attachProcess" as const,
      value: { event: { case: "output" as const, value: { offset, data: Buffer.from(text) } } },
    },
  });
  const end = {
    answer: { case: "attachProcess" as const, value: { event: { case: "end" as const, value: {} } } },
  };

  it("carries output down, and everything that the caller has for the process up", async () => {
    const caller = new Outgoing<Message>();
    caller.push(attach(3n));
    const events = begin(user().attachProcess(caller));
    const relayed = await answer(output(3n, "lo"));
    expect(relayed.call.operation).toMatchObject({ value: { message: { value: { processId, offset: 3n } } } });
    expect((await events.next()).value?.event).toMatchObject({ case: "output", value: { offset: 3n } });
    caller.push(
      { message: { case: "input", value: { data: Buffer.from("typed") } } },
      { message: { case: "acknowledgedOffset", value: 5n } },
      { message: { case: "signal", value: "SIGINT" } },
    );
    for (const kind of ["input", "acknowledgedOffset", "signal"])
      expect((await relayed.inputs.next()).value?.message.value?.message.case).toBe(kind);
    relayed.relay.push({ ...end, sandboxId: id });
    expect((await events.next()).value?.event.case).toBe("end");
    expect(await events.next()).toMatchObject({ done: true });
  });

  it("fails when the supervisor breaks off before the end, so that the caller comes again", async () => {
    const caller = new Outgoing<Message>();
    caller.push(attach());
    const events = begin(user().attachProcess(caller));
    const relayed = await answer(output(0n, "x"));
    await events.next();
    relayed.break();
    await expect(events.next()).rejects.toMatchObject({ reason: "SUPERVISOR_LOST" });
  });

  it.each<[string, Message]>([
    ["a second attach", { message: { case: "attach", value: { processId } } }],
    ["a message without anything", {}],
    ["a terminal without a size", { message: { case: "resize", value: {} } }],
    ["too much input", { message: { case: "input", value: { data: Buffer.alloc(1024 * 1024 + 1) } } }],
  ])("is ended by %s", async (_, message) => {
    const caller = new Outgoing<Message>();
    caller.push(attach(), message);
    const events = begin(user().attachProcess(caller));
    await answer();
    await expect(events.next()).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  });
});

describe("a sandbox that is over", () => {
  it("shows what its supervisor has left, and says that its processes were lost with it", async () => {
    const log = new OutputLog({ directory: kept, name: processId });
    log.append("stdout", Buffer.from("out"));
    log.append("stderr", Buffer.from("err"));
    const process = create(ProcessSchema, { processId, command: ["true"] });
    new ProcessRecords(kept).write({ requestId, requestHash: "", process });
    const waiting = service.reach(id, Phase.FAILED);
    // who asks while it is lost, hears of it as soon as it is known
    supervisor.disconnect();
    world.lose(id);
    await waiting;
    const lost = { end: { exit: { reason: ExitReason.SUPERVISOR_LOST } }, outputEndOffset: 6n };
    expect((await user().listProcesses({ sandbox: id })).processes).toMatchObject([{ processId, ...lost }]);
    expect((await user().waitProcess({ sandbox: id, processId })).process).toMatchObject(lost);

    const events: unknown[] = [];
    const requests = (async function* () {
      yield { sandbox: id, message: { case: "attach" as const, value: { processId, offset: 1n } } };
    })();
    for await (const { event } of user().attachProcess(requests))
      events.push(event.case === "output" ? `${event.value.offset} ${Buffer.from(event.value.data)}` : event.case);
    expect(events).toEqual(["process", "1 ut", "3 err", "end"]);

    const other = { sandbox: id, processId: `prc-${"c".repeat(20)}` };
    await expect(user().waitProcess(other)).rejects.toMatchObject({ reason: "PROCESS_NOT_FOUND" });
    await expect(user().startProcess({ sandbox: id, requestId, start: { command: ["true"] } })).rejects.toMatchObject({
      reason: "SANDBOX_NOT_READY",
      metadata: { phase: "FAILED" },
    });
  });
});
