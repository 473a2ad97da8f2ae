import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  FileKind,
  type OpenExecSchema,
  type RelayExecRequest,
  type RelayExecResponseSchema,
} from "@sandgate/api/sandbox";
import { createArchiveTools } from "@sandgate/archive";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type SupervisedSandbox, startSupervisedSandbox } from "./supervised-sandbox.fixture.ts";

type Operation = MessageInitShape<typeof OpenExecSchema>["operation"];
type Say = NonNullable<MessageInitShape<typeof RelayExecResponseSchema>["message"]>;
type Answer = RelayExecRequest["answer"];

let sandbox: SupervisedSandbox;
beforeAll(async () => {
  sandbox = await startSupervisedSandbox();
});
afterAll(() => sandbox.close());

async function sh(script: string): Promise<string> {
  const { stdout } = await sandbox.plane.exec(sandbox.session, { command: ["sh", "-c", script] }).collect();
  return stdout;
}

/** Makes a call, says everything, and answers everything that comes. Throws the reason of a refusal. */
async function call(operation: Operation, says: readonly Say[] = []): Promise<readonly Answer[]> {
  const open = sandbox.plane.call(sandbox.session, operation);
  for (const message of says) open.say(message);
  const answers: Answer[] = [];
  for await (const answer of open.answers) {
    if (answer.case === "fault") throw new Error(answer.value.reason);
    answers.push(answer);
  }
  return answers;
}

const finished: Say = { case: "finished", value: true };
const pieces = (data: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(data.length / 100_000) }, (_, index) =>
    data.subarray(index * 100_000, (index + 1) * 100_000),
  );

const write = (path: string, data: Buffer, more: object = {}) =>
  call({ case: "writeFile", value: { part: { case: "start", value: { path, ...more } } } }, [
    ...pieces(data).map((piece): Say => ({ case: "writeFile", value: { part: { case: "data", value: piece } } })),
    finished,
  ]);

async function read(path: string) {
  const answers = await call({ case: "readFile", value: { path } });
  const parts = answers.map((answer) => (answer.case === "readFile" ? answer.value.part : undefined));
  const data = Buffer.concat(parts.flatMap((part) => (part?.case === "data" ? [part.value] : [])));
  expect(parts.at(-1)).toEqual({ case: "end", value: BigInt(data.length) });
  return { file: parts[0]?.case === "file" ? parts[0].value : undefined, data };
}

async function list(path: string, more: object = {}) {
  const [answer] = await call({ case: "listFiles", value: { path, ...more } });
  if (answer?.case !== "listFiles") throw new Error("there is no list");
  return answer.value;
}

describe("files of a sandbox", () => {
  it("are written whole, and read as they are", async () => {
    const data = randomBytes(3_000_000);
    const [written] = await write("deep/er/data", data, { makeParents: true, mode: 0o750 });
    expect(written?.value).toMatchObject({
      file: { name: "data", kind: FileKind.FILE, sizeBytes: 3_000_000n, mode: 0o750 },
    });
    expect(await sh("sha256sum < deep/er/data; stat -c '%a %u' deep/er/data")).toBe(
      `${createHash("sha256").update(data).digest("hex")}  -\n750 65532\n`,
    );
    const { file, data: back } = await read("/workspace/deep/er/data");
    expect(file).toMatchObject({ name: "data", sizeBytes: 3_000_000n });
    expect(back.equals(data)).toBe(true);
    expect((await write("empty", Buffer.alloc(0)))[0]?.case).toBe("writeFile");
    expect((await read("empty")).data).toHaveLength(0);
  });

  it("are not there at all, and nothing of them, where the caller goes away before he has finished", async () => {
    await sh("mkdir atomic; echo old > atomic/file");
    const open = sandbox.plane.call(sandbox.session, {
      case: "writeFile",
      value: { part: { case: "start", value: { path: "atomic/file" } } },
    });
    open.say({ case: "writeFile", value: { part: { case: "data", value: Buffer.alloc(500_000) } } });
    while ((await list("atomic")).entries.length < 2);
    open.abandon();
    while ((await list("atomic")).entries.length > 1);
    expect((await read("atomic/file")).data.toString()).toBe("old\n");
  });

  it.each<[string, string, string]>([
    ["what is not there", "nowhere/file", "FILE_NOT_FOUND"],
    ["a directory", "/usr", "REQUEST_INVALID"],
    ["a path through a file", "secret/x", "REQUEST_INVALID"],
    ["a pipe, which would hold it up", "pipe", "FILE_NOT_ACCESSIBLE"],
    ["a device", "/dev/zero", "FILE_NOT_ACCESSIBLE"],
    ["what its user may not read", "secret", "FILE_NOT_ACCESSIBLE"],
    [
      "a path that leads out of the workspace to what is the supervisor's",
      "../run/sandgate/bootstrap/config.json",
      "FILE_NOT_FOUND",
    ],
    ["a path to the supervisor's output files", "/run/sandgate/log", "FILE_NOT_FOUND"],
    ["a link to what is the supervisor's", "link", "FILE_NOT_FOUND"],
    ["a loop of links", "loop", "FILE_NOT_ACCESSIBLE"],
  ])("D-27: are not read: %s", async (_, path, reason) => {
    await sh(
      "mkfifo pipe; echo x > secret; chmod 0 secret; ln -sf /run/sandgate/bootstrap/config.json link; ln -sf loop loop",
    );
    await expect(read(path)).rejects.toThrow(reason);
  });

  it.each<[string, string, string]>([
    ["in a directory that is not there", "nowhere/file", "FILE_NOT_FOUND"],
    ["in the place of a directory", "/workspace", "REQUEST_INVALID"],
    ["in the system", "/usr/bin/evil", "FILE_NOT_ACCESSIBLE"],
    ["where the supervisor is", "../run/sandgate/evil", "FILE_NOT_FOUND"],
    ["through a link that leads there", "out/evil", "FILE_NOT_FOUND"],
  ])("D-27: are not written %s", async (_, path, reason) => {
    await sh("ln -sfn /run/sandgate out");
    await expect(write(path, Buffer.from("x"))).rejects.toThrow(reason);
  });

  it("D-27: replace a link, and leave what it leads to", async () => {
    await sh("echo safe > target; ln -sf target replaced");
    await write("replaced", Buffer.from("new\n"));
    expect(await sh("cat target replaced; test -L replaced || echo file")).toBe("safe\nnew\nfile\n");
  });

  it("are listed page by page, with what each is", async () => {
    expect(
      await sh(
        "mkdir -p many; for i in 1 2 3 4 5; do echo > many/$i; done; ln -s 3 many/link; mkdir many/dir; mkfifo many/pipe",
      ),
    ).toBe("");
    const first = await list("many", { pageSize: 5 });
    expect(first.file).toMatchObject({ name: "many", kind: FileKind.DIRECTORY });
    expect(first.entries.map(({ name }) => name)).toEqual(["1", "2", "3", "4", "5"]);
    const rest = await list("many", { pageSize: 5, pageToken: first.nextPageToken });
    expect(rest.entries).toMatchObject([
      { name: "dir", kind: FileKind.DIRECTORY },
      { name: "link", kind: FileKind.SYMBOLIC_LINK, linkTarget: "3" },
      { name: "pipe", kind: FileKind.OTHER },
    ]);
    expect(rest.nextPageToken).toBe("");
    expect(await list("many/1")).toMatchObject({ file: { name: "1", kind: FileKind.FILE }, entries: [] });
  });
});

describe("archives of a sandbox", () => {
  const { pack, createUnpacker } = createArchiveTools();
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "archives-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const send = (path: string, archive: Buffer) =>
    call({ case: "writeArchive", value: { part: { case: "start", value: { path } } } }, [
      ...pieces(archive).map(
        (piece): Say => ({ case: "writeArchive", value: { part: { case: "data", value: piece } } }),
      ),
      finished,
    ]);

  it("bring a directory in and out again as it was", async () => {
    const from = join(directory, "from");
    mkdirSync(join(from, "sub"), { recursive: true });
    writeFileSync(join(from, "sub/big"), randomBytes(700_000));
    writeFileSync(join(from, "run"), "#!/bin/sh\n", { mode: 0o755 });
    symlinkSync("sub/big", join(from, "link"));
    const [written] = await send("in/tree", Buffer.concat([...pack(from)]));
    expect(written?.value).toMatchObject({ summary: { entries: 4n, skipped: 0n } });
    expect(await sh("ls -l in/tree | grep -c '^-rwxr-xr-x.*run'; readlink in/tree/link")).toBe("1\nsub/big\n");

    const to = join(directory, "to");
    mkdirSync(to);
    const unpacker = createUnpacker(to, { linksInside: true });
    const answers = await call({ case: "readArchive", value: { path: "in/tree" } });
    for (const answer of answers)
      if (answer.case === "readArchive" && answer.value.part.case === "data") unpacker.write(answer.value.part.value);
    expect(answers.at(-1)?.value).toMatchObject({ part: { case: "end", value: { entries: 4n } } });
    expect(unpacker.end()).toEqual({ entries: 4, skipped: 0 });
    expect(readFileSync(join(to, "link")).equals(readFileSync(join(from, "sub/big")))).toBe(true);
  });

  it("D-27: are unpacked nowhere else, whatever they or the workspace hold", async () => {
    await sh("mkdir -p unpacked victim; ln -s ../victim unpacked/sub");
    const hostile = join(directory, "hostile");
    mkdirSync(join(hostile, "sub"), { recursive: true });
    writeFileSync(join(hostile, "sub/evil"), "x");
    await expect(send("unpacked", Buffer.concat([...pack(hostile)]))).rejects.toThrow("REQUEST_INVALID");
    expect(await sh("ls victim")).toBe("");
    await expect(send("unpacked", Buffer.from("no archive at all".repeat(100)))).rejects.toThrow("REQUEST_INVALID");
    await expect(send("/usr/lib", Buffer.concat([...pack(hostile)]))).rejects.toThrow("FILE_NOT_ACCESSIBLE");
    await expect(call({ case: "readArchive", value: { path: "/run/sandgate" } })).rejects.toThrow("FILE_NOT_FOUND");
    expect(existsSync(join(directory, "evil"))).toBe(false);
  });

  it("are not taken for whole where they are cut short", async () => {
    const archive = Buffer.concat([...pack(join(directory, "from"))]);
    await expect(send("cut", archive.subarray(0, 5_000))).rejects.toThrow("REQUEST_INVALID");
  });
});

describe("ports of a sandbox", () => {
  type Event = Extract<Answer, { case: "connectPort" }>["value"]["event"];

  /** Starts what listens in the sandbox, and answers its process when it does. */
  async function listen(program: string, port: number, host = "127.0.0.1") {
    const server = `require("node:net").createServer({ allowHalfOpen: true }, (socket) => { socket.on("error", () => {}); ${program} }).listen(${port}, "${host}", () => console.log("up"))`;
    const process = sandbox.plane.exec(sandbox.session, { command: ["/opt/sandgate/bin/node", "-e", server] });
    for await (const { output } of process.outputs) if (output.case === "stdout") return process;
    throw new Error("it does not listen");
  }

  function connect(port: number) {
    const open = sandbox.plane.call(sandbox.session, {
      case: "connectPort",
      value: { message: { case: "port", value: port } },
    });
    const answers = open.answers[Symbol.asyncIterator]();
    return {
      send: (text: string | Buffer) =>
        open.say({ case: "connectPort", value: { message: { case: "data", value: Buffer.from(text) } } }),
      finish: () => open.say(finished),
      leave: () => open.abandon(),
      next: async (): Promise<Event | undefined> => {
        const { value, done } = await answers.next();
        if (done === true) return undefined;
        if (value.case === "fault") throw new Error(value.value.reason);
        return value.case === "connectPort" ? value.value.event : undefined;
      },
    };
  }
  async function readTo(connection: ReturnType<typeof connect>, kind: Event["case"]) {
    let text = "";
    for (;;) {
      const event = await connection.next();
      if (event?.case === "data") text += Buffer.from(event.value).toString();
      else if (event?.case === kind || event === undefined) return { text, event };
    }
  }

  it("carry what either side says, and close each half by itself", async () => {
    const server = await listen('socket.write("hello "); socket.pipe(socket);', 7001);
    const connection = connect(7001);
    expect(await connection.next()).toEqual({ case: "connected", value: true });
    connection.send("there");
    connection.finish();
    const { text, event } = await readTo(connection, "closed");
    expect(text).toBe("hello there");
    expect(event).toMatchObject({ value: { reset: false } });
    server.abandon();
  });

  it("let the caller go on when the port has closed its half", async () => {
    const server = await listen(
      'socket.end("bye"); let all = ""; socket.on("data", (d) => all += d); socket.on("end", () => console.log("got " + all));',
      7002,
    );
    const connection = connect(7002);
    expect((await readTo(connection, "halfClosed")).text).toBe("bye");
    connection.send("late words");
    connection.finish();
    expect((await readTo(connection, "closed")).event).toMatchObject({ value: { reset: false } });
    server.abandon();
  });

  it("carry much without holding it, both ways", async () => {
    const server = await listen("socket.pipe(socket);", 7003);
    const connection = connect(7003);
    await connection.next();
    const data = randomBytes(4_000_000);
    for (const piece of pieces(data)) connection.send(piece);
    connection.finish();
    const hash = createHash("sha256");
    for (let event = await connection.next(); event?.case !== "closed"; event = await connection.next())
      if (event?.case === "data") hash.update(event.value);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(data).digest("hex"));
    server.abandon();
  });

  it("are found at either loopback address, and cut when the caller goes away", async () => {
    const server = await listen(
      'socket.on("close", () => console.log("cut")); socket.on("end", () => socket.end());',
      7004,
      "::1",
    );
    const connection = connect(7004);
    expect((await connection.next())?.case).toBe("connected");
    connection.leave();
    for await (const { output } of server.outputs)
      if (output.case === "stdout" && Buffer.from(output.value).toString().includes("cut")) break;
    server.abandon();
  });

  it("tell a reset from an end", async () => {
    const server = await listen('socket.on("data", () => socket.resetAndDestroy());', 7005);
    const connection = connect(7005);
    await connection.next();
    connection.send("x");
    expect((await readTo(connection, "closed")).event).toMatchObject({ value: { reset: true } });
    server.abandon();
  });

  it.each([
    ["where nothing listens", 7099],
    ["of the supervisor itself", 3128],
  ])("are not reached %s", async (_, port) => {
    await expect(connect(port).next()).rejects.toThrow("PORT_NOT_OPEN");
  });
});
