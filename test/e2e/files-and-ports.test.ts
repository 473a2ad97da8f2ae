import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { get } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

const patience = { timeout: 15_000, interval: 20 };

let suite: SuiteDirectory;
let directory: string;

beforeAll(async () => {
  suite = new SuiteDirectory();
  directory = mkdtempSync(join(tmpdir(), "copies-"));
  await suite.json("up");
  await suite.json("create", "box");
}, 120_000);
afterAll(async () => {
  await suite.remove();
  rmSync(directory, { recursive: true });
}, 60_000);

const sha = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const at = (...names: string[]) => join(directory, ...names);

async function sh(script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await suite.sandgate(["exec", "--no-stdin", "box", "--", "sh", "-c", script]);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}

async function cp(source: string, destination: string) {
  const { exitCode, stderr } = await suite.sandgate(["cp", source, destination]);
  return { exitCode, stderr };
}

describe("sandgate cp", () => {
  it("copies a file in and out again, whole and with its mode", async () => {
    const data = randomBytes(20_000_000);
    writeFileSync(at("data"), data, { mode: 0o750 });
    const [copied] = await suite.json("cp", at("data"), "box:copy");
    expect(copied).toEqual({ direction: "in", path: "copy", bytes: 20_000_000 });
    expect(await sh("sha256sum copy | cut -c1-64; stat -c %a copy")).toBe(`${sha(data)}\n750\n`);
    expect(await cp("box:/workspace/copy", at("back"))).toMatchObject({ exitCode: 0 });
    expect(sha(readFileSync(at("back")))).toBe(sha(data));
    expect(statSync(at("back")).mode & 0o777).toBe(0o750);
  });

  it("copies a file into a directory that is there, and replaces what has its name", async () => {
    await sh("mkdir -p there");
    writeFileSync(at("one"), "1");
    await cp(at("one"), "box:there");
    writeFileSync(at("one"), "2");
    await cp(at("one"), "box:there/");
    expect(await sh("cat there/one; ls -A there")).toBe("2one\n");
    mkdirSync(at("here"));
    await cp("box:there/one", at("here"));
    expect(readFileSync(at("here", "one"), "utf8")).toBe("2");
  });

  it("copies a directory in and out again as it was", async () => {
    mkdirSync(at("tree", "sub", "empty"), { recursive: true });
    writeFileSync(at("tree", "sub", `${"name ".repeat(30)}ü`), randomBytes(1_000_000));
    writeFileSync(at("tree", "run.sh"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
    symlinkSync("sub", at("tree", "link"));
    expect(await cp(at("tree"), "box:tree")).toMatchObject({ exitCode: 0 });
    expect(await sh("tree/run.sh; readlink tree/link")).toBe("ran\nsub\n");
    const [copied] = await suite.json("cp", "box:tree", at("tree-back"));
    expect(copied).toMatchObject({ direction: "out", entries: 5, skipped: 0 });
    expect(execFileSync("diff", ["-r", "--no-dereference", at("tree"), at("tree-back")]).toString()).toBe("");
    // into one that is there
    await cp(at("tree"), "box:tree");
    expect(await sh("ls tree")).toContain("tree");
    await cp("box:tree/tree/sub/.", at("here"));
    expect(readdirSync(at("here"))).toContain("empty");
  });

  it("D-27: brings nothing out of a sandbox that leads out of the directory", async () => {
    await sh(
      "mkdir -p bait/dir; cd bait; echo good > dir/file; ln -s dir/file inside; ln -s /etc/passwd absolute; ln -s ../../../.. up; ln -s dir/../../.. round; mkfifo pipe; printf x > \"$(printf 'bad\\377')\"",
    );
    const { exitCode, stderr } = await suite.sandgate(["cp", "box:bait", at("bait")]);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining("5 left out")]);
    expect(readdirSync(at("bait")).sort()).toEqual(["dir", "inside"]);
    expect(readFileSync(at("bait", "inside"), "utf8")).toBe("good\n");
  });

  it.each<[string, () => [string, string], number]>([
    ["what is not in the sandbox", () => ["box:nothing", at("x")], 3],
    ["what is not here", () => [at("nothing"), "box:x"], 2],
    ["to where the workload may not write", () => [at("one"), "box:/usr/evil"], 1],
    ["to a sandbox that there is not", () => [at("one"), "nobody:x"], 3],
    ["from one sandbox to another", () => ["box:a", "box:b"], 2],
    ["nothing of a sandbox", () => [at("one"), at("two")], 2],
  ])("says why it cannot copy %s", async (_, places, exitCode) => {
    const outcome = await cp(...places());
    expect(outcome.exitCode).toBe(exitCode);
    expect(outcome.stderr).toMatch(/^sandgate: .+\n {2}→ .+/);
  });

  it("shows on a terminal how far it is", async () => {
    writeFileSync(at("large"), "");
    truncateSync(at("large"), 150_000_000);
    const { exitCode, stdout } = await suite.inTerminal(`sandgate cp ${at("large")} box:large`);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\d+\.\d MiB, \d+\.\d MiB\/s/);
    expect(stdout).toMatch(/large: 143\.1 MiB in /);
  });

  it("leaves nothing behind where it is interrupted", async () => {
    await sh("mkdir half");
    truncateSync(at("one"), 900_000_000); // sparse, and long enough to be met on its way
    const child = suite.start(["cp", at("one"), "box:half/file"]);
    await vi.waitFor(async () => expect(await sh("ls -A half")).toMatch(/^\..*\.sandgate\n$/), patience);
    child.kill("SIGINT");
    expect((await once(child, "close"))[0]).toBe(130);
    await vi.waitFor(async () => expect(await sh("ls -A half")).toBe(""), patience);
  });
});

describe("sandgate port-forward", () => {
  const server = `
    const { createServer } = require("node:net");
    require("node:http").createServer((request, response) => response.end("hello " + request.url)).listen(8080, "127.0.0.1");
    createServer({ allowHalfOpen: true }, (socket) => {
      let all = "";
      socket.on("data", (data) => (all += data)).on("end", () => socket.end("heard " + all.length));
    }).listen(9090, "::1", () => console.log("up"));
    setTimeout(() => {}, 3600000);`;

  it("S1-14: carries connections, many at a time, each half by itself, and ends in order", async () => {
    const running = suite.start(["exec", "--no-stdin", "box", "--", "/opt/sandgate/bin/node", "-e", server]);
    if (running.stdout === null) throw new Error("there is no pipe");
    await once(running.stdout, "data");
    const forward = suite.start(["port-forward", "--json", "box", "0:8080", "0:9090", "0:9999"]);
    if (forward.stdout === null) throw new Error("there is no pipe");
    let said = "";
    const ports = await new Promise<number[]>((resolve) => {
      forward.stdout?.on("data", (data: Buffer) => {
        said += data.toString();
        const lines = said
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line) as { localPort: number });
        if (lines.length === 3) resolve(lines.map(({ localPort }) => localPort));
      });
    });
    const [web = 0, halves = 0, nothing = 0] = ports;

    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) =>
          get({ host: "127.0.0.1", port: web, path: `/${index}`, agent: false }, resolve).on("error", reject),
        );
        return text(response);
      }),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_, index) => `hello /${index}`));

    const half = connect({ host: "127.0.0.1", port: halves, allowHalfOpen: true });
    half.end(Buffer.alloc(3_000_000, "x"));
    expect(await text(half)).toBe("heard 3000000");

    const refused = connect({ host: "127.0.0.1", port: nothing });
    refused.on("error", () => {});
    await once(refused, "close");
    await vi.waitFor(() => expect(said).toContain("PORT_NOT_OPEN"), patience);

    forward.kill("SIGINT");
    expect((await once(forward, "close"))[0]).toBe(0);
    running.kill("SIGKILL");
  });

  it("D-75: never reaches what is the supervisor's", async () => {
    const forward = suite.start(["port-forward", "--json", "box", "0:3128"]);
    if (forward.stdout === null) throw new Error("there is no pipe");
    const [line] = await once(forward.stdout, "data");
    const { localPort } = JSON.parse(String(line)) as { localPort: number };
    const failed = once(forward.stdout, "data");
    const socket = connect({ host: "127.0.0.1", port: localPort });
    socket.on("error", () => {});
    await once(socket, "close");
    expect(String((await failed)[0])).toContain("PORT_NOT_OPEN");
    forward.kill("SIGINT");
    await once(forward, "close");
  });

  it.each([
    [["port-forward", "box", "http"], 2],
    [["port-forward", "nobody", "80"], 3],
    [["port-forward", "--address", "192.0.2.1", "box", "0:80"], 1],
  ])("refuses %j", async (words, exitCode) => {
    expect((await suite.sandgate(words)).exitCode).toBe(exitCode);
  });
});
