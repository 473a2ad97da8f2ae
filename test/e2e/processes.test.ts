import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SandboxService } from "@sandgate/api/sandbox";
import { createClient, createHttp2Channel } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readClientFile } from "../../services/cli/src/client-file.ts";
import { findProcess, isRunning, processTree } from "../../services/cli/src/suite/process-identity.ts";
import { SuiteDirectory } from "./suite-directory.fixture.ts";
import { suiteProcesses } from "./suite-traces.fixture.ts";

const patience = { timeout: 30_000, interval: 50 };

let suite: SuiteDirectory;

beforeAll(async () => {
  suite = new SuiteDirectory();
  await suite.json("up", "--separate");
  await suite.json("create", "box");
}, 120_000);
afterAll(() => suite.remove(), 60_000);

const sha = (data: Buffer | string) => createHash("sha256").update(data).digest("hex");

/** Kills the Sandbox service, and starts it again. */
async function cutControlPlane(): Promise<void> {
  const pid = (await suite.pids())["sandbox"] ?? 0;
  const killed = findProcess(pid);
  if (killed === undefined) throw new Error("the service does not run");
  process.kill(pid, "SIGKILL");
  await vi.waitFor(() => expect(isRunning(killed)).toBe(false), patience);
  await suite.json("up", "--separate");
}

/** A command with pipes, and what it has written so far. */
function follow(words: readonly string[]) {
  const child = suite.start(words);
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("there are no pipes");
  const pieces: Buffer[] = [];
  let errors = "";
  stdout.on("data", (piece: Buffer) => pieces.push(piece));
  stderr.on("data", (piece: Buffer) => {
    errors += piece.toString();
  });
  const closed = once(child, "close").then(([code]) => code as number | null); // as node documents it
  return {
    child,
    stdin,
    closed,
    written: () => Buffer.concat(pieces),
    errors: () => errors,
    until: (bytes: number) => vi.waitFor(() => expect(Buffer.concat(pieces).length).toBeGreaterThan(bytes), patience),
  };
}

/** Kills a sandbox's supervisor, below the outer processes, which name the sandbox. */
function killSupervisor(sandboxId: string): void {
  const outer = suiteProcesses(suite).filter(({ pid }) => commandLineOf(pid).includes(sandboxId));
  const inside = new Set(outer.flatMap(({ pid }) => processTree(pid)));
  const supervisors = [...inside].filter((pid) =>
    /^\/opt\/sandgate\/bin\/node\0.*\/supervisor\.mjs\0/.test(commandLineOf(pid)),
  );
  if (supervisors.length !== 1) throw new Error(`there are ${supervisors.length} supervisors`);
  for (const pid of supervisors) process.kill(pid, "SIGKILL");
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has just ended
  }
}

describe("sandgate exec", () => {
  it("S1-14: loses no byte of output when the control plane is killed twice meanwhile", async () => {
    const script = "for i in $(seq 0 199); do seq $((i * 500)) $((i * 500 + 499)); sleep 0.05; done; exit 3";
    const running = follow(["exec", "--no-stdin", "box", "--", "sh", "-c", script]);
    for (const bytes of [50_000, 200_000]) {
      await running.until(bytes);
      await cutControlPlane();
    }
    expect([await running.closed, running.errors()]).toEqual([3, ""]);
    const expected = Array.from({ length: 100_000 }, (_, index) => `${index}\n`).join("");
    expect(sha(running.written())).toBe(sha(expected));
  }, 90_000);

  it("gives a process every byte of its input once when the control plane is killed meanwhile", async () => {
    const input = randomBytes(6_000_000);
    const slow = "dd bs=1000000 count=1 iflag=fullblock status=none; sleep 2; cat";
    const running = follow(["exec", "box", "--", "sh", "-c", slow]);
    running.stdin.end(input);
    await running.until(500_000);
    await cutControlPlane();
    expect([await running.closed, running.errors()]).toEqual([0, ""]);
    expect(sha(running.written())).toBe(sha(input));
  }, 60_000);

  it("feels like docker exec -it: a terminal, ^C for the process, its exit code", async () => {
    const { exitCode, stdout } = await suite.inTerminal(
      "stty rows 21 columns 67; sandgate exec -it box -- sh -c 'stty size; trap \"echo caught; exit 8\" INT; echo up; while :; do sleep 0.05; done'",
      { after: "up", text: "\x03" },
    );
    expect(stdout).toContain("21 67");
    expect(stdout).toContain("caught");
    expect(exitCode).toBe(8);
  });

  it("ends what it started when nobody reads its output any more", async () => {
    const running = follow(["exec", "--no-stdin", "box", "--", "yes", "nobody"]);
    await running.until(10);
    running.child.stdout?.destroy();
    expect(await running.closed).toBe(141);
    await vi.waitFor(async () => {
      const [listed] = await suite.json("ps", "box");
      expect(JSON.stringify(listed)).not.toContain("nobody");
    }, patience);
  });

  it("ends a command when its time is over", async () => {
    const { exitCode } = await suite.sandgate(["exec", "--timeout", "300ms", "box", "--", "sleep", "100"]);
    expect(exitCode).toBe(124);
  });
});

describe("a process that was left to itself", () => {
  it("is listed, followed by several, fed, and exits for each as it did", async () => {
    const script = "echo begun; read line; echo got $line; read line; exit 6";
    const id = (await suite.sandgate(["exec", "-d", "box", "--", "sh", "-c", script])).stdout.trim();
    expect(id).toMatch(/^prc-/);
    const [listed] = await suite.json("ps", "box");
    expect(listed).toMatchObject({ processes: [{ processId: id, usage: { processes: 1 } }] });
    expect((await suite.sandgate(["ps", "box"])).stdout).toMatch(/ID +STATE +AGE .*\nprc-\S+ +running /);

    const [one, other] = [follow(["attach", "box", id]), follow(["attach", "--no-stdin", "box", id])];
    await one.until("begun\n".length - 1);
    one.stdin.write("first\n");
    await vi.waitFor(() => expect(other.written().toString()).toBe("begun\ngot first\n"), patience);
    one.stdin.write("second\n");
    expect(await Promise.all([one.closed, other.closed])).toEqual([6, 6]);
    expect(await suite.sandgate(["attach", "--offset", "6", "box", id])).toMatchObject({
      exitCode: 6,
      stdout: "got first\n",
    });
    const [all] = await suite.json("ps", "--all", "box");
    expect(all?.["processes"]).toContainEqual(expect.objectContaining({ processId: id }));
  });

  it("lives on when who follows it leaves, and ends by a signal", async () => {
    const id = (
      await suite.sandgate([
        "exec",
        "-d",
        "box",
        "--",
        "sh",
        "-c",
        "trap 'echo caught' INT; echo up; while :; do sleep 0.05; done",
      ])
    ).stdout.trim();
    const following = follow(["attach", "box", id]);
    await following.until(1);
    following.child.kill("SIGINT");
    await following.until("up\ncaught".length);
    following.child.kill("SIGINT");
    await following.closed;
    expect((await suite.sandgate(["ps", "-q", "box"])).stdout).toBe(`${id}\n`);
    expect((await suite.sandgate(["kill", "-s", "kill", "--target", "tree", "box", id])).exitCode).toBe(0);
    expect((await suite.sandgate(["attach", "box", id])).exitCode).toBe(137);
    expect(await suite.sandgate(["kill", "box", "prc-aaaaaaaaaaaaaaaaaaaa"])).toMatchObject({ exitCode: 3 });
    expect(await suite.sandgate(["kill", "-s", "nothing", "box", id])).toMatchObject({ exitCode: 2 });
  });

  it("S1-14: is put together again, byte for byte, from what callers had before they were killed", async () => {
    const script = "for i in $(seq 0 99); do seq $((i * 500)) $((i * 500 + 499)); sleep 0.03; done";
    const id = (await suite.sandgate(["exec", "-d", "box", "--", "sh", "-c", script])).stdout.trim();
    const pieces: Buffer[] = [];
    const had = () => pieces.reduce((sum, { length }) => sum + length, 0);
    for (let code: number | null = null; code === null; ) {
      const following = follow(["attach", "--no-stdin", "--offset", String(had()), "box", id]);
      const enough = following.until(Math.floor(Math.random() * 80_000)).catch(() => undefined);
      code = await Promise.race([following.closed, enough.then(() => null)]);
      if (code === null) {
        following.child.kill("SIGKILL");
        code = (await following.closed) ?? null;
      }
      pieces.push(following.written());
    }
    const expected = Array.from({ length: 50_000 }, (_, index) => `${index}\n`).join("");
    expect(sha(Buffer.concat(pieces))).toBe(sha(expected));
    expect(pieces.length).toBeGreaterThan(2);
  }, 60_000);

  it("D-74, D-75: is open to nobody without a credential, from this machine as from any other", async () => {
    const file = readClientFile(join(suite.path, "client.json"));
    if (!("file" in file.serviceCa)) throw new Error("the authority is in a file");
    const tls = { ca: readFileSync(file.serviceCa.file, "utf8") };
    const serverName = `sandbox.${file.trustDomain}`;
    const channel = createHttp2Channel({ address: file.edgeAddresses.sandbox, serverName, tls: () => tls });
    const client = createClient(SandboxService, channel);
    const start = { command: ["true"] };
    await expect(client.startProcess({ sandbox: "box", requestId: randomUUID(), start })).rejects.toMatchObject({
      reason: "CREDENTIAL_MISSING",
    });
    channel.close();
    // and from inside there is nothing to ask
    const ports = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == \"0A\" { print $2 }'";
    const { stdout } = await suite.sandgate(["exec", "--no-stdin", "box", "--", "sh", "-c", ports]);
    expect(stdout.trim()).toBe("0100007F:0C38"); // 127.0.0.1:3128, the way to the proxy
  });

  it("D-75: is nobody's business who is not named by the sandbox", async () => {
    await suite.json("create", "stranger");
    const id = (await suite.sandgate(["exec", "-d", "box", "--", "sleep", "100"])).stdout.trim();
    expect(await suite.sandgate(["attach", "stranger", id])).toMatchObject({ exitCode: 3 });
    await suite.json("kill", "box", id);
  });

  it("S1-14: is lost with its supervisor, and everything that it wrote can be read", async () => {
    await suite.json("create", "fragile");
    const script = "seq 1 20000; echo end; while :; do sleep 0.05; done";
    const id = (await suite.sandgate(["exec", "-d", "fragile", "--", "sh", "-c", script])).stdout.trim();
    const following = follow(["attach", "--no-stdin", "fragile", id]);
    await vi.waitFor(() => expect(following.written().toString()).toContain("end\n"), patience);
    const [sandbox] = await suite.json("get", "fragile");
    killSupervisor(String(sandbox?.["id"]));
    expect(await following.closed).toBe(125);
    const expected = `${Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join("")}end\n`;
    expect(following.written().toString()).toBe(expected);
    const again = await suite.sandgate(["attach", "fragile", id]);
    expect([again.exitCode, sha(again.stdout)]).toEqual([125, sha(expected)]);
    const [listed] = await suite.json("ps", "--all", "fragile");
    expect(listed).toMatchObject({
      processes: [{ processId: id, end: { exit: { reason: "EXIT_REASON_SUPERVISOR_LOST" } } }],
    });
  });
});
