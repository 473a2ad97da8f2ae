import { createHash, randomBytes, randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AttachProcessRequestSchema,
  type AttachProcessResponse,
  ExitReason,
  OutputOverflow,
  OutputStream,
  type Process,
  type ProcessEnd,
  type ProcessLimitsSchema,
  type RelayExecRequest,
  SignalTarget,
  StartProcessRequestSchema,
} from "@sandgate/api/sandbox";
import { describePast, KeptOutput, ProcessRecords } from "@sandgate/process-log";
import type { FakeSession } from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ProcessTable } from "./process/process-table.ts";
import { type SupervisedSandbox, startSupervisedSandbox } from "./supervised-sandbox.fixture.ts";
import { systemTimers } from "./timers.ts";

type Answer = RelayExecRequest["answer"];

/** Calls into one sandbox, as callers of the Sandbox service make them. */
function callsTo(sandbox: SupervisedSandbox) {
  let session: FakeSession = sandbox.session;
  const ask = async (operation: Parameters<typeof sandbox.plane.call>[1]): Promise<Answer> => {
    for await (const answer of sandbox.plane.call(session, operation).answers) return answer;
    throw new Error("there was no answer");
  };
  const value = async <K extends Answer["case"]>(kind: K, operation: Parameters<typeof ask>[0]) => {
    const answer = await ask(operation);
    if (answer.case !== kind) throw new Error(`${answer.case}: ${JSON.stringify(answer.value)}`);
    return answer as Extract<Answer, { case: K }>; // compared just before
  };
  const start = async (request: MessageInitShape<typeof StartProcessRequestSchema>): Promise<Process> => {
    const { process } = (await value("startProcess", { case: "startProcess", value: request })).value;
    if (process === undefined) throw new Error("there is no process");
    return process;
  };
  return {
    ask,
    start,
    /** Follows the control plane when it has come back. */
    async rejoin() {
      session = await sandbox.plane.sessionAfter(session);
    },
    sh: (script: string, limits: MessageInitShape<typeof ProcessLimitsSchema> = {}) =>
      start({ requestId: randomUUID(), start: { command: ["sh", "-c", script] }, limits }),
    attach: (processId: string, offset = 0) =>
      new Attached(
        sandbox.plane.call(session, {
          case: "attachProcess",
          value: { message: { case: "attach", value: { processId, offset: BigInt(offset) } } },
        }),
      ),
    write: async (processId: string, offset: number, text: string, close = false) => {
      const input = { offset: BigInt(offset), data: Buffer.from(text), close };
      return ask({ case: "writeProcessInput", value: { processId, input } });
    },
    signal: (processId: string, signal: string, target = SignalTarget.UNSPECIFIED) =>
      ask({ case: "signalProcess", value: { processId, signal, target } }),
    wait: async (processId: string, seconds = 10) => {
      const timeout = { seconds: BigInt(seconds) };
      const { process } = (await value("waitProcess", { case: "waitProcess", value: { processId, timeout } })).value;
      return process;
    },
    list: async () => (await value("listProcesses", { case: "listProcesses", value: {} })).value.processes,
  };
}

/** One caller of AttachProcess. */
class Attached {
  readonly #call: ReturnType<SupervisedSandbox["plane"]["call"]>;
  readonly #answers: AsyncIterator<Answer>;
  text = "";
  /** Where the next byte is. */
  offset: number | undefined;
  gaps = 0;

  constructor(call: ReturnType<SupervisedSandbox["plane"]["call"]>) {
    this.#call = call;
    this.#answers = call.answers[Symbol.asyncIterator]();
  }

  say(message: NonNullable<MessageInitShape<typeof AttachProcessRequestSchema>["message"]>): void {
    this.#call.say({ case: "attachProcess", value: { message } });
  }

  type(offset: number, text: string, close = false): void {
    this.say({ case: "input", value: { offset: BigInt(offset), data: Buffer.from(text), close } });
  }

  /** The next event; undefined where the call was cut off. */
  async next(): Promise<AttachProcessResponse["event"] | undefined> {
    const { done, value } = await this.#answers.next();
    if (done === true) return undefined;
    if (value.case !== "attachProcess") throw new Error(JSON.stringify(value.value));
    const { event } = value.value;
    if (event.case === "output") {
      const at = Number(event.value.offset);
      if (this.offset !== undefined && at !== this.offset) this.gaps += 1;
      this.offset = at + event.value.data.length;
      this.text += Buffer.from(event.value.data).toString("latin1");
    }
    return event;
  }

  async until(part: string): Promise<void> {
    while (!this.text.includes(part))
      if ((await this.next()) === undefined) throw new Error(`ended after ${this.text}`);
  }

  /** Reads to the end; undefined where the call was cut off before. */
  async end(): Promise<ProcessEnd | undefined> {
    for (let event = await this.next(); event !== undefined; event = await this.next())
      if (event.case === "end") return event.value;
    return undefined;
  }

  leave(): void {
    this.#call.abandon();
  }
}

const sha = (text: string) => createHash("sha256").update(text, "latin1").digest("hex");

/** Numbers from a seed, so that what failed can be tried again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("the processes of a sandbox", () => {
  let sandbox: SupervisedSandbox;
  let calls: ReturnType<typeof callsTo>;
  beforeAll(async () => {
    sandbox = await startSupervisedSandbox();
    calls = callsTo(sandbox);
  });
  afterAll(() => sandbox.close());

  it("S1-14: starts a process once for a request id, and refuses it for another request", async () => {
    const request = { requestId: randomUUID(), start: { command: ["sh", "-c", "echo $$; cat"] } };
    const [one, other] = await Promise.all([calls.start(request), calls.start(request)]);
    expect(other?.processId).toBe(one?.processId);
    expect(one?.processId).toMatch(/^prc-[a-z2-7]{20}$/);
    expect((await calls.list()).filter(({ command }) => command.includes("echo $$; cat"))).toHaveLength(1);
    expect(
      await calls.ask({ case: "startProcess", value: { ...request, start: { command: ["true"] } } }),
    ).toMatchObject({ case: "fault", value: { reason: "REQUEST_ID_REUSED" } });
    await calls.write(one?.processId ?? "", 0, "", true);
    expect((await calls.wait(one?.processId ?? ""))?.end?.exit).toMatchObject({ reason: ExitReason.EXITED, code: 0 });
  });

  it("tells every caller the same, in the order of both streams, from wherever he begins", async () => {
    const { processId } = await calls.sh("echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three; exit 5");
    const [early, late] = [calls.attach(processId), calls.attach(processId, 4)];
    expect((await early.end())?.exit).toMatchObject({ reason: ExitReason.EXITED, code: 5 });
    expect(early.text).toBe("one\ntwo\nthree\n");
    await late.end();
    expect(late.text).toBe("two\nthree\n");
    const after = calls.attach(processId, 4);
    expect((await after.next())?.case).toBe("process");
    expect(await after.next()).toMatchObject({ value: { offset: 4n, stream: OutputStream.STDERR } });
    await after.end();
    expect(after.text).toBe(late.text);
  });

  it.each([1, 2, 3])("is followed without loss by a caller and a control plane that are cut, seed %i", async (seed) => {
    const random = randomFrom(seed);
    const lines = 40_000;
    const { processId } = await calls.sh(
      `for i in $(seq 0 79); do seq $((i * 500)) $((i * 500 + 499)); sleep 0.01; done`,
    );
    let text = "";
    let cuts = 0;
    for (let end: ProcessEnd | undefined; end === undefined; cuts += 1) {
      const caller = calls.attach(processId, text.length);
      const most = Math.floor(random() * 40_000);
      const takesPlane = random() < 0.15;
      for (;;) {
        const event = await caller.next();
        if (event === undefined) break;
        if (event.case === "end") end = event.value;
        if (event.case === "end" || caller.text.length > most) break;
      }
      text += caller.text;
      expect(caller.gaps).toBe(0);
      caller.leave();
      if (takesPlane) {
        await sandbox.takeControlAway();
        await sandbox.bringControlBack();
        await calls.rejoin();
      }
    }
    expect(cuts).toBeGreaterThan(3);
    expect(sha(text)).toBe(sha(Array.from({ length: lines }, (_, index) => `${index}\n`).join("")));
  });

  it("takes input by offset: what is repeated is not written twice, and a gap is refused", async () => {
    const { processId } = await calls.start({ requestId: randomUUID(), start: { command: ["cat"] } });
    expect(await calls.write(processId, 0, "hello ")).toMatchObject({ value: { inputOffset: 6n } });
    expect(await calls.write(processId, 0, "hello ")).toMatchObject({ value: { inputOffset: 6n } });
    expect(await calls.write(processId, 3, "lo world")).toMatchObject({ value: { inputOffset: 11n } });
    expect(await calls.write(processId, 12, "!")).toMatchObject({
      case: "fault",
      value: { reason: "REQUEST_INVALID", metadata: { input_offset: "11" } },
    });
    const caller = calls.attach(processId);
    caller.type(5, " world\n", true);
    caller.type(5, " world\n", true);
    expect((await caller.end())?.exit).toMatchObject({ code: 0 });
    expect(caller.text).toBe("hello world\n");
  });

  it("ends the call of a caller who leaves a gap in his input, and not the process", async () => {
    const { processId } = await calls.start({ requestId: randomUUID(), start: { command: ["cat"] } });
    const caller = calls.attach(processId);
    await caller.next();
    caller.type(7, "late");
    await expect(caller.end()).rejects.toThrow("there is a gap");
    await calls.write(processId, 0, "on\n", true);
    const again = calls.attach(processId);
    await again.end();
    expect(again.text).toBe("on\n");
  });

  it.each([
    [SignalTarget.PROCESS, "parent "],
    [SignalTarget.GROUP, "child parent "],
    [SignalTarget.TREE, "child other parent "],
  ])("sends a signal to %i: the process, its group or all", async (target, reached) => {
    const waiting = (name: string) => `trap 'printf "${name} "; exit 0' USR1; echo ready; while :; do sleep 0.02; done`;
    const script = `exec 2>/dev/null; (${waiting("child")}) & setsid sh -c '${waiting("other").replaceAll("'", `'"'"'`)}' & trap 'printf "parent "; sleep 0.3; exit 3' USR1; echo ready; while :; do sleep 0.02; done`;
    const { processId } = await calls.sh(script);
    const caller = calls.attach(processId);
    await caller.until("ready\nready\nready\n");
    await calls.signal(processId, "SIGUSR1", target);
    expect((await caller.end())?.exit).toMatchObject({ reason: ExitReason.EXITED, code: 3 });
    expect(caller.text.replaceAll("ready\n", "").split(" ").sort().join(" ").trim()).toBe(reached.trim());
  });

  it("refuses a signal that there is none of, and a process that there is none of", async () => {
    const { processId } = await calls.sh("exit 0");
    expect(await calls.signal(processId, "SIGNOTHING")).toMatchObject({ value: { reason: "REQUEST_INVALID" } });
    expect(await calls.signal("prc-aaaaaaaaaaaaaaaaaaaa", "SIGTERM")).toMatchObject({
      value: { reason: "PROCESS_NOT_FOUND" },
    });
  });

  it("gives a process a terminal, which any caller resizes and types into", async () => {
    const { processId } = await calls.start({
      requestId: randomUUID(),
      start: {
        command: [
          "sh",
          "-c",
          "trap 'stty size' WINCH; trap 'echo caught; exit 7' INT; stty size; while :; do sleep 0.02; done",
        ],
        terminal: { rows: 30, columns: 90 },
      },
    });
    const caller = calls.attach(processId);
    await caller.until("30 90");
    caller.say({ case: "resize", value: { rows: 11, columns: 22 } });
    await caller.until("11 22");
    caller.leave();
    const other = calls.attach(processId, caller.text.length);
    other.type(0, "\x03");
    expect((await other.end())?.exit).toMatchObject({ code: 7 });
    expect(other.text).toContain("caught");
  });

  it("lists what runs with what it uses, and what has ended", async () => {
    const { processId } = await calls.sh(
      "sleep 30 & sleep 30 & i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo busy; wait",
    );
    const caller = calls.attach(processId);
    await caller.until("busy");
    const listed = (await calls.list()).find((process) => process.processId === processId);
    expect(listed?.usage?.processes).toBe(3);
    expect(Number(listed?.usage?.memoryBytes)).toBeGreaterThan(100_000);
    expect((listed?.usage?.cpuTime?.nanos ?? 0) + Number(listed?.usage?.cpuTime?.seconds ?? 0) * 1e9).toBeGreaterThan(
      0,
    );
    expect(listed).toMatchObject({ attached: 1, outputEndOffset: 5n });
    expect((await calls.wait(processId, 0))?.end).toBeUndefined();
    await calls.signal(processId, "SIGKILL", SignalTarget.TREE);
    expect((await calls.wait(processId))?.end?.exit).toMatchObject({ reason: ExitReason.SIGNALLED, signal: "SIGKILL" });
    expect((await calls.list()).find((process) => process.processId === processId)?.usage).toBeUndefined();
  });

  it.each<[string, string, MessageInitShape<typeof ProcessLimitsSchema>, object]>([
    [
      "its time",
      "trap '' TERM; echo on; while :; do sleep 0.02; done",
      { timeout: { seconds: 1n } },
      { reason: ExitReason.TIMED_OUT },
    ],
    [
      "its output",
      "while :; do echo more; done",
      { outputBytes: 10_000n },
      { reason: ExitReason.LIMIT, limit: "output_bytes" },
    ],
    [
      "nobody attached",
      "while :; do sleep 0.02; done",
      { unattendedTimeout: { nanos: 50_000_000 } },
      { reason: ExitReason.CANCELLED },
    ],
  ])("D-76: ends a process at the limit of %s, and says which it was", async (_, script, limits, exit) => {
    const { processId } = await calls.sh(script, limits);
    const process = await calls.wait(processId, 20);
    expect(process?.end?.exit).toMatchObject(exit);
    if (limits.outputBytes !== undefined) expect(process?.outputEndOffset).toBe(10_000n);
  });

  it("does not end a process for want of somebody attached while somebody is", async () => {
    const { processId } = await calls.sh("sleep 0.4; echo done", { unattendedTimeout: { nanos: 200_000_000 } });
    const caller = calls.attach(processId);
    expect((await caller.end())?.exit).toMatchObject({ reason: ExitReason.EXITED, code: 0 });
  });

  it("keeps as much output as it may, and declares the gap", async () => {
    const { processId } = await calls.sh("head -c 5000000 /dev/zero | tr '\\0' a", { keptOutputBytes: 1_048_576n });
    const process = await calls.wait(processId);
    expect(process?.outputEndOffset).toBe(5_000_000n);
    expect(Number(process?.outputEndOffset) - Number(process?.outputOffset)).toBeLessThan(1_048_577);
    const caller = calls.attach(processId);
    await caller.end();
    expect(caller.text).toHaveLength(5_000_000 - Number(process?.outputOffset));
  });

  it("makes a process wait for who acknowledges, and loses nothing, with as much kept as may be", async () => {
    const { processId } = await calls.sh("head -c 9000000 /dev/zero | tr '\\0' a; echo end", {
      keptOutputBytes: 1_048_576n,
      outputOverflow: OutputOverflow.WAIT,
    });
    const caller = calls.attach(processId);
    let most = 0;
    for (let event = await caller.next(); event?.case !== "end"; event = await caller.next()) {
      if (event === undefined) throw new Error("it was cut off");
      if (event.case !== "output") continue;
      caller.say({ case: "acknowledgedOffset", value: BigInt(caller.offset ?? 0) });
      const [listed] = (await calls.list()).filter((process) => process.processId === processId);
      most = Math.max(most, Number(listed?.outputEndOffset) - Number(listed?.outputOffset));
    }
    expect(caller.gaps).toBe(0);
    expect(caller.text).toHaveLength(9_000_004);
    // what was in the pipes when it had written everything comes on top
    expect(most).toBeLessThan(1_048_576 + 524_288);
  });

  it("lets who sends no more than 1 MiB ahead go on acknowledging, however little the process reads", async () => {
    const { processId } = await calls.sh("head -c 6000000 /dev/zero | tr '\\0' a; wc -c", {
      keptOutputBytes: 1_048_576n,
      outputOverflow: OutputOverflow.WAIT,
    });
    const caller = calls.attach(processId);
    const total = 8_000_000;
    let [sent, taken] = [0, 0];
    const send = (): void => {
      for (; sent < total && sent - taken < 1_000_000; sent += 100_000)
        caller.say({
          case: "input",
          value: { offset: BigInt(sent), data: Buffer.alloc(100_000), close: sent + 100_000 === total },
        });
    };
    send();
    for (let event = await caller.next(); event?.case !== "end"; event = await caller.next()) {
      if (event === undefined) throw new Error("it was cut off");
      if (event.case === "inputOffset") taken = Number(event.value);
      if (event.case === "output") caller.say({ case: "acknowledgedOffset", value: BigInt(caller.offset ?? 0) });
      send();
    }
    expect(caller.text.slice(6_000_000).trim()).toBe(String(total));
  });

  it("keeps output where no process of the workload finds it", async () => {
    const { processId } = await calls.sh(
      "echo needle-of-output; sleep 0.1; grep -rl needle-of-output /run /tmp /workspace /var /proc/1/root/run 2>/dev/null; ls -A /run; exit 0",
    );
    const caller = calls.attach(processId);
    await caller.end();
    expect(caller.text).toBe("needle-of-output\nidentity\n");
    expect(KeptOutput.open(sandbox.logDirectory, processId).end).toBe(caller.text.length);
  });
});

describe("a supervisor that is asked to end", () => {
  it("writes down how its processes ended, and the next one of the sandbox shows them", async () => {
    const sandbox = await startSupervisedSandbox();
    const calls = callsTo(sandbox);
    const script = "trap 'echo last words; exit 4' TERM; echo up; while :; do sleep 0.02; done";
    const request = { requestId: randomUUID(), start: { command: ["sh", "-c", script] } };
    const { processId } = await calls.start(request);
    const caller = calls.attach(processId);
    await caller.until("up");
    sandbox.terminate();
    expect(await sandbox.exited).toBe(0);
    const record = new ProcessRecords(sandbox.logDirectory).find(processId);
    expect(record?.process.end?.exit).toMatchObject({ reason: ExitReason.EXITED, code: 4 });
    const past = new ProcessTable({
      directory: sandbox.logDirectory,
      workload: { start: () => Promise.reject(new Error("nothing is started")) },
      egressRequests: () => 0,
      oomKills: () => undefined,
      timers: systemTimers,
      random: randomBytes,
      logger: { info: () => {}, warn: () => {}, error: () => {} },
    });
    expect(past.findPast(processId)).toMatchObject({ end: { exit: { code: 4 } } });
    expect(Number(past.findPast(processId)?.outputEndOffset)).toBeGreaterThanOrEqual("up\nlast words\n".length);
    expect(past.list()).toHaveLength(1);
    // what started it starts nothing now
    expect(await past.start(create(StartProcessRequestSchema, request))).toMatchObject({ processId });
    await expect(
      past.start(create(StartProcessRequestSchema, { ...request, start: { command: ["true"] } })),
    ).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    await sandbox.close();
  });
});

describe("a supervisor that is killed", () => {
  it("S1-14: leaves every byte that anybody was told of, and a process that counts as lost with it", async () => {
    const sandbox = await startSupervisedSandbox();
    const calls = callsTo(sandbox);
    const { processId } = await calls.sh("i=0; while :; do echo line $i; i=$((i+1)); done");
    const caller = calls.attach(processId);
    while (caller.text.length < 300_000) await caller.next();
    sandbox.kill();
    await sandbox.exited;
    const record = new ProcessRecords(sandbox.logDirectory).find(processId);
    if (record === undefined) throw new Error("there is no record");
    const past = describePast(sandbox.logDirectory, record.process);
    expect(past.end?.exit?.reason).toBe(ExitReason.SUPERVISOR_LOST);
    const kept = KeptOutput.open(sandbox.logDirectory, processId);
    const reader = kept.read(0);
    let text = "";
    for (let piece = reader.next(65_536); piece !== undefined; piece = reader.next(65_536))
      text += piece.data.toString("latin1");
    expect(text.length).toBe(Number(past.outputEndOffset));
    expect(text.slice(0, caller.text.length)).toBe(caller.text);
    kept.close();
    await sandbox.close();
  });
});
