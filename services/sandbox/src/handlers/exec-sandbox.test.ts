import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ExecInput,
  type ExecOutput,
  type ExecSandboxRequestSchema,
  type ExecSandboxResponse,
  ExitReason,
  Phase,
  type RelayExecRequestSchema,
  type RelayExecResponse,
} from "@sandgate/api/sandbox";
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

let database: SandboxDatabase;
let service: RunningService;
let id: string;
let supervisor: PlayedSupervisor;
let waiting: string;

beforeAll(async () => {
  database = await createSandboxDatabase();
  const world = new ScriptedWorld();
  service = await startSandboxService(database, world, { deps: { timing: { supervisorTimeoutMs: 200 } } });
  waiting = await service.create();
  world.onStart = ({ sandboxId }) => {
    supervisor = connectSupervisor(service, sandboxId);
  };
  id = await service.create();
  const ready = service.reach(id, Phase.READY);
  // a played stream begins when its first command is asked for
  relays = followCommands();
  await ready;
});
afterAll(async () => {
  supervisor.disconnect();
  await service.stop();
  await database.drop();
});

type ExecMessage = MessageInitShape<typeof ExecSandboxRequestSchema>;

let relays: { next(): Promise<string> };

/** The exec ids that the supervisor is told to open, in order. */
function followCommands(): { next(): Promise<string> } {
  let last: Promise<string> = supervisor.nextCommand("openExec").then(({ value }) => value.execId);
  return {
    next() {
      const present = last;
      last = present.then(async () => (await supervisor.nextCommand("openExec")).value.execId);
      last.catch(() => {}); // the stream ends with the test
      return present;
    },
  };
}

/** One process: the caller's side and the supervisor's. */
interface Run {
  readonly execId: string;
  readonly caller: Outgoing<ExecMessage>;
  readonly outputs: { next(): Promise<IteratorResult<ExecSandboxResponse>> };
  readonly relay: Outgoing<MessageInitShape<typeof RelayExecRequestSchema>>;
  readonly inputs: { next(): Promise<IteratorResult<RelayExecResponse>> };
  readonly leave: AbortController;
  readonly break: AbortController;
}

const start = (command: string[] = ["cat"]): ExecMessage => ({
  sandbox: id,
  message: { case: "start", value: { command } },
});
const input = (
  value: NonNullable<MessageInitShape<typeof ExecSandboxRequestSchema>["message"]> & { case: "input" },
): ExecMessage => ({
  message: value,
});
const stdin = (text: string) => input({ case: "input", value: { input: { case: "stdin", value: Buffer.from(text) } } });

async function run(): Promise<Run> {
  const caller = new Outgoing<ExecMessage>();
  const leave = new AbortController();
  caller.push(start());
  const outputs = begin(service.asUser().execSandbox(caller, { signal: leave.signal }));
  const execId = await relays.next();
  const relay = new Outgoing<MessageInitShape<typeof RelayExecRequestSchema>>();
  const broken = new AbortController();
  relay.push({ sandboxId: id, execId });
  const inputs = begin(service.asSandbox(id).relayExec(relay, { signal: broken.signal }));
  return { execId, caller, outputs, relay, inputs, leave, break: broken };
}

const stdout = (text: string) => ({ output: { output: { case: "stdout" as const, value: Buffer.from(text) } } });
const exit = (code: number) => ({
  output: { output: { case: "exit" as const, value: { reason: ExitReason.EXITED, code } } },
});
const textOf = (message: ExecInput | ExecOutput | undefined): string => {
  const content = message !== undefined && "input" in message ? message.input : message?.output;
  return content?.value instanceof Uint8Array
    ? `${content.case} ${Buffer.from(content.value).toString()}`
    : `${content?.case}`;
};

describe("ExecSandbox", () => {
  it("carries standard streams both ways and ends with the exit", async () => {
    const process = await run();
    process.caller.push(
      stdin("hello"),
      input({ case: "input", value: { input: { case: "signal", value: "SIGINT" } } }),
    );
    expect(textOf((await process.inputs.next()).value?.input)).toBe("stdin hello");
    expect((await process.inputs.next()).value?.input?.input).toEqual({ case: "signal", value: "SIGINT" });
    process.relay.push({ sandboxId: id, execId: process.execId, ...stdout("hello") });
    expect(textOf((await process.outputs.next()).value?.output)).toBe("stdout hello");
    process.relay.push({ sandboxId: id, execId: process.execId, ...exit(3) });
    expect((await process.outputs.next()).value?.output?.output).toMatchObject({ case: "exit", value: { code: 3 } });
    expect(await process.outputs.next()).toMatchObject({ done: true });
    expect(await process.inputs.next()).toMatchObject({ done: true });
  });

  it("closes standard input when the caller has no more to say", async () => {
    const process = await run();
    process.caller.push(stdin("x"));
    process.caller.end();
    expect(textOf((await process.inputs.next()).value?.input)).toBe("stdin x");
    expect((await process.inputs.next()).value?.input?.input).toEqual({ case: "stdinClosed", value: true });
    process.relay.push({ sandboxId: id, ...exit(0) });
    expect((await process.outputs.next()).value?.output?.output.case).toBe("exit");
  });

  it("passes on that a process could not be started", async () => {
    const process = await run();
    process.relay.push({ sandboxId: id, output: { output: { case: "startFault", value: "no such file" } } });
    expect((await process.outputs.next()).value?.output?.output).toEqual({ case: "startFault", value: "no such file" });
    expect(await process.outputs.next()).toMatchObject({ done: true });
  });

  it("holds the supervisor back while the caller does not read", async () => {
    const process = await run();
    let sent = 0;
    const flood = async function* () {
      for (; sent < 100; sent += 1) yield { sandboxId: id, ...stdout("x".repeat(1000)) };
      yield { sandboxId: id, ...exit(0) };
    };
    process.relay.follow(flood());
    expect(textOf((await process.outputs.next()).value?.output)).toContain("stdout");
    await new Promise(setImmediate);
    // what is on the way between the two: one message at each hand-over
    expect(sent).toBeLessThan(10);
    for (let next = await process.outputs.next(); next.done !== true; next = await process.outputs.next());
    expect(sent).toBe(100);
    expect(await process.inputs.next()).toMatchObject({ done: true });
  });

  it("says supervisor lost when the relay breaks before the exit", async () => {
    const process = await run();
    process.relay.push({ sandboxId: id, ...stdout("before") });
    expect(textOf((await process.outputs.next()).value?.output)).toBe("stdout before");
    process.break.abort();
    expect((await process.outputs.next()).value?.output?.output).toMatchObject({
      case: "exit",
      value: { reason: ExitReason.SUPERVISOR_LOST },
    });
    expect(await process.outputs.next()).toMatchObject({ done: true });
  });

  it("tells the supervisor when the caller goes away", async () => {
    const process = await run();
    process.caller.push(stdin("x"));
    expect(textOf((await process.inputs.next()).value?.input)).toBe("stdin x");
    process.leave.abort();
    await expect(process.inputs.next()).rejects.toMatchObject({ reason: "CANCELLED" });
  });

  it.each<[string, () => ExecMessage, string, string]>([
    ["no start", () => ({ ...input({ case: "input", value: {} }), sandbox: id }), "REQUEST_INVALID", "start"],
    ["an empty command", () => start([]), "REQUEST_INVALID", "start.command"],
    [
      "an environment that is not for callers",
      () => ({ sandbox: id, message: { case: "start", value: { command: ["x"], environment: { SANDGATE_X: "x" } } } }),
      "REQUEST_INVALID",
      "start.environment",
    ],
    [
      "a terminal without a size",
      () => ({ sandbox: id, message: { case: "start", value: { command: ["x"], terminal: {} } } }),
      "REQUEST_INVALID",
      "start.terminal",
    ],
  ])("refuses %s", async (_, message, reason, field) => {
    const caller = new Outgoing<ExecMessage>();
    caller.push(message());
    const outputs = begin(service.asUser().execSandbox(caller));
    await expect(outputs.next()).rejects.toMatchObject({ reason, metadata: { field } });
  });

  it("refuses a second start", async () => {
    const process = await run();
    process.caller.push(start());
    await expect(process.outputs.next()).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  });

  it("needs a READY sandbox, and says what it waits for", async () => {
    await vi.waitFor(async () => {
      const { sandbox } = await service.asUser().getSandbox({ sandbox: waiting });
      expect(sandbox?.waitingFor).toEqual(["supervisor", "confinement"]);
    });
    const caller = new Outgoing<ExecMessage>();
    caller.push({ ...start(), sandbox: waiting });
    const outputs = begin(service.asUser().execSandbox(caller));
    await expect(outputs.next()).rejects.toMatchObject({
      reason: "SANDBOX_NOT_READY",
      metadata: { phase: "STARTING", waiting_for: "supervisor,confinement" },
    });
  });

  it("does not wait for ever for a supervisor that opens no relay", async () => {
    const caller = new Outgoing<ExecMessage>();
    caller.push(start());
    const outputs = begin(service.asUser().execSandbox(caller));
    const refused = expect(outputs.next()).rejects.toMatchObject({ reason: "SUPERVISOR_LOST" });
    await relays.next();
    await refused;
  });
});

describe("RelayExec", () => {
  const relayOf = (sandboxId: string, execId: string, incarnation = 1n) => {
    const relay = new Outgoing<MessageInitShape<typeof RelayExecRequestSchema>>();
    relay.push({ sandboxId, execId });
    return begin(service.asSandbox(sandboxId, incarnation).relayExec(relay)).next();
  };

  it("is refused to another sandbox, to another incarnation, twice, and for an id that was never given (G-20)", async () => {
    const caller = new Outgoing<ExecMessage>();
    caller.push(start());
    const outputs = begin(service.asUser().execSandbox(caller));
    const first = outputs.next();
    const execId = await relays.next();
    const notFound = { reason: "PROCESS_NOT_FOUND" };
    await expect(relayOf(waiting, execId)).rejects.toMatchObject(notFound);
    await expect(relayOf(id, execId, 2n)).rejects.toMatchObject(notFound);
    await expect(relayOf(id, "AAAAAAAAAAAAAAAAAAAAAA")).rejects.toMatchObject(notFound);
    const relay = new Outgoing<MessageInitShape<typeof RelayExecRequestSchema>>();
    relay.push({ sandboxId: id, execId, ...stdout("x") });
    const inputs = begin(service.asSandbox(id).relayExec(relay));
    const input = inputs.next();
    await first;
    await expect(relayOf(id, execId)).rejects.toMatchObject(notFound);
    relay.push({ sandboxId: id, ...exit(0) });
    await outputs.next();
    await input;
  });
});
