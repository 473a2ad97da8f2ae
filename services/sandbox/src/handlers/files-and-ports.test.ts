import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConnectPortRequestSchema,
  type OpenExec,
  Phase,
  type RelayExecRequestSchema,
  type WriteFileRequestSchema,
} from "@sandgate/api/sandbox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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

type Relayed = Omit<MessageInitShape<typeof RelayExecRequestSchema>, "$typeName">;

let database: SandboxDatabase;
let service: RunningService;
let id: string;
let supervisor: PlayedSupervisor;
let opened: Promise<{ readonly value: OpenExec }>;

beforeAll(async () => {
  database = await createSandboxDatabase();
  const world = new ScriptedWorld();
  service = await startSandboxService(database, world, { deps: { timing: { supervisorTimeoutMs: 500 } } });
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
});

/** The supervisor takes the next call and says these things. */
async function answer(...says: readonly Relayed[]) {
  const { value: call } = await opened;
  opened = supervisor.nextCommand("openExec");
  opened.catch(() => {}); // the stream ends with the test
  const relay = new Outgoing<Relayed>();
  const broken = new AbortController();
  relay.push({ sandboxId: id, execId: call.execId }, ...says.map((each) => ({ ...each, sandboxId: id })));
  const inputs = begin(service.asSandbox(id).relayExec(relay, { signal: broken.signal }));
  return { call, inputs, relay, break: () => broken.abort() };
}

const user = () => service.asUser();
const refused = (field: string) => ({ reason: "REQUEST_INVALID", metadata: { field } });

describe("ReadFile", () => {
  const part = (
    value: NonNullable<Extract<NonNullable<Relayed["answer"]>, { case: "readFile" }>["value"]["part"]>,
  ): Relayed => ({
    answer: { case: "readFile", value: { part: value } },
  });

  it("carries what the supervisor reads, to its end", async () => {
    const parts = begin(user().readFile({ sandbox: id, path: "a" }));
    const { call } = await answer(part({ case: "file", value: { name: "a" } }), part({ case: "end", value: 0n }));
    expect(call.operation).toMatchObject({ case: "readFile", value: { path: "a" } });
    expect((await parts.next()).value?.part.case).toBe("file");
    expect((await parts.next()).value?.part.case).toBe("end");
    expect(await parts.next()).toMatchObject({ done: true });
  });

  it("fails where the supervisor breaks off, so that nobody takes a part for the whole", async () => {
    const parts = begin(user().readFile({ sandbox: id, path: "a" }));
    const relayed = await answer(part({ case: "data", value: Buffer.from("x") }));
    await parts.next();
    relayed.relay.end();
    await expect(parts.next()).rejects.toMatchObject({ reason: "SUPERVISOR_LOST" });
  });

  it.each(["FILE_NOT_FOUND", "FILE_NOT_ACCESSIBLE"])("passes %s on", async (reason) => {
    const parts = begin(user().readFile({ sandbox: id, path: "a" }));
    await answer({ answer: { case: "fault", value: { reason, message: "not there" } } });
    await expect(parts.next()).rejects.toMatchObject({ reason, message: "not there" });
  });
});

describe("WriteFile", () => {
  type Message = MessageInitShape<typeof WriteFileRequestSchema>;
  const start = (more: object = {}): Message => ({
    sandbox: id,
    part: { case: "start", value: { path: "a", ...more } },
  });

  it("tells the supervisor of the end of the caller's messages, and answers what was written", async () => {
    const caller = new Outgoing<Message>();
    caller.push(start({ mode: 0o600 }), { part: { case: "data", value: Buffer.from("x") } });
    caller.end();
    const written = user().writeFile(caller);
    const relayed = await answer();
    expect((await relayed.inputs.next()).value?.message).toMatchObject({ case: "writeFile" });
    expect((await relayed.inputs.next()).value?.message).toEqual({ case: "finished", value: true });
    relayed.relay.push({ sandboxId: id, answer: { case: "writeFile", value: { file: { name: "a" } } } });
    expect((await written).file?.name).toBe("a");
  });

  it("tells the supervisor nothing of the kind when the caller goes away", async () => {
    const caller = new Outgoing<Message>();
    const leave = new AbortController();
    caller.push(start(), { part: { case: "data", value: Buffer.from("x") } });
    user()
      .writeFile(caller, { signal: leave.signal })
      .catch(() => {});
    const relayed = await answer();
    expect((await relayed.inputs.next()).value?.message).toMatchObject({ case: "writeFile" });
    leave.abort();
    await expect(relayed.inputs.next()).rejects.toMatchObject({ reason: "CANCELLED" });
  });

  it.each<[string, Message[], string]>([
    ["no start", [{ part: { case: "data", value: Buffer.from("x") } }], "start"],
    ["no path", [start({ path: "" })], "start.path"],
    ["a path with a NUL", [start({ path: "a\0b" })], "start.path"],
    ["a mode with more than permissions", [start({ mode: 0o4755 })], "start.mode"],
  ])("refuses %s", async (_, messages, field) => {
    const caller = new Outgoing<Message>();
    caller.push(...messages.map((message) => ({ ...message, sandbox: id })));
    await expect(user().writeFile(caller)).rejects.toMatchObject(refused(field));
  });

  it("ends the call where too much comes in one message", async () => {
    const caller = new Outgoing<Message>();
    caller.push(start(), { part: { case: "data", value: Buffer.alloc(1024 * 1024 + 1) } });
    const written = expect(user().writeFile(caller)).rejects.toMatchObject(refused("data"));
    await answer();
    await written;
  });
});

describe("ListFiles", () => {
  it("means the workspace where no path is named", async () => {
    const listed = user().listFiles({ sandbox: id });
    const { call } = await answer({ answer: { case: "listFiles", value: { entries: [{ name: "a" }] } } });
    expect(call.operation).toMatchObject({ case: "listFiles", value: { path: "." } });
    expect((await listed).entries).toMatchObject([{ name: "a" }]);
  });

  it("refuses pages that are too long, and tokens that are none", async () => {
    await expect(user().listFiles({ sandbox: id, pageSize: 1001 })).rejects.toMatchObject(refused("page_size"));
    await expect(user().listFiles({ sandbox: id, pageToken: "../" })).rejects.toMatchObject({
      reason: "PAGE_TOKEN_INVALID",
    });
  });
});

describe("ReadArchive and WriteArchive", () => {
  it("say what was packed and unpacked", async () => {
    const parts = begin(user().readArchive({ sandbox: id, path: "a" }));
    await answer({ answer: { case: "readArchive", value: { part: { case: "end", value: { entries: 3n } } } } });
    expect((await parts.next()).value?.part).toMatchObject({ case: "end", value: { entries: 3n } });
    expect(await parts.next()).toMatchObject({ done: true });

    async function* requests() {
      yield { sandbox: id, part: { case: "start" as const, value: { path: "a" } } };
    }
    const written = user().writeArchive(requests());
    await answer({ answer: { case: "writeArchive", value: { summary: { skipped: 2n } } } });
    expect((await written).summary?.skipped).toBe(2n);
  });

  it("refuse a path that is none", async () => {
    await expect(begin(user().readArchive({ sandbox: id, path: "" })).next()).rejects.toMatchObject(refused("path"));
    async function* requests() {
      yield { sandbox: id, part: { case: "start" as const, value: { path: "x".repeat(4097) } } };
    }
    await expect(user().writeArchive(requests())).rejects.toMatchObject(refused("start.path"));
  });
});

describe("ConnectPort", () => {
  type Message = MessageInitShape<typeof ConnectPortRequestSchema>;

  it("carries both halves, and ends when both have", async () => {
    const caller = new Outgoing<Message>();
    caller.push(
      { sandbox: id, message: { case: "port", value: 80 } },
      { message: { case: "data", value: Buffer.from("x") } },
    );
    caller.end();
    const events = begin(user().connectPort(caller));
    const relayed = await answer(
      { answer: { case: "connectPort", value: { event: { case: "connected", value: true } } } },
      { answer: { case: "connectPort", value: { event: { case: "halfClosed", value: true } } } },
    );
    expect(relayed.call.operation).toMatchObject({ value: { message: { case: "port", value: 80 } } });
    expect((await events.next()).value?.event.case).toBe("connected");
    expect((await events.next()).value?.event.case).toBe("halfClosed");
    expect((await relayed.inputs.next()).value?.message).toMatchObject({ case: "connectPort" });
    expect((await relayed.inputs.next()).value?.message).toEqual({ case: "finished", value: true });
    relayed.relay.push({
      sandboxId: id,
      answer: { case: "connectPort", value: { event: { case: "closed", value: { reset: false } } } },
    });
    expect((await events.next()).value?.event.case).toBe("closed");
    expect(await events.next()).toMatchObject({ done: true });
  });

  it.each<[string, Message, string]>([
    ["no port", { message: { case: "data", value: Buffer.from("x") } }, "port"],
    ["port 0", { message: { case: "port", value: 0 } }, "port"],
    ["port 65536", { message: { case: "port", value: 65_536 } }, "port"],
  ])("refuses %s", async (_, message, field) => {
    const caller = new Outgoing<Message>();
    caller.push({ ...message, sandbox: id });
    await expect(begin(user().connectPort(caller)).next()).rejects.toMatchObject(refused(field));
  });
});
