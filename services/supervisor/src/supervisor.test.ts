import { once } from "node:events";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { type ExecOutput, ExitReason } from "@sandgate/api/sandbox";
import type { FakeExec } from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type SupervisedSandbox, sandboxId, startSupervisedSandbox } from "./supervised-sandbox.fixture.ts";

/** Reads an exec's output as text, piece by piece. */
function reader(exec: FakeExec) {
  const iterator = exec.outputs[Symbol.asyncIterator]();
  let text = "";
  let last: ExecOutput["output"] | undefined;
  const next = async (): Promise<boolean> => {
    const { done, value } = await iterator.next();
    if (done === true) return false;
    last = value.output;
    if (value.output.case === "stdout" || value.output.case === "stderr")
      text += Buffer.from(value.output.value).toString("utf8");
    return true;
  };
  return {
    until: async (part: string): Promise<string> => {
      while (!text.includes(part)) if (!(await next())) throw new Error(`ended after ${JSON.stringify(text)}`);
      const seen = text;
      text = text.slice(text.indexOf(part) + part.length);
      return seen;
    },
    end: async (): Promise<{ text: string; last: ExecOutput["output"] | undefined }> => {
      while (await next());
      return { text, last };
    },
  };
}

describe("a supervisor's commands", () => {
  let sandbox: SupervisedSandbox;
  beforeAll(async () => {
    sandbox = await startSupervisedSandbox();
  });
  afterAll(() => sandbox.close());
  const exec = (command: string[], more: object = {}) => sandbox.plane.exec(sandbox.session, { command, ...more });
  const sh = (script: string, more: object = {}) => exec(["sh", "-c", script], more);

  it("proves the confinement before anything else runs", async () => {
    const { checks } = await sandbox.session.confinement;
    expect(checks.filter(({ confined }) => !confined)).toEqual([]);
    expect(checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "network",
        "dns",
        "sockets",
        "state-directory",
        "supervisor",
        "host-processes",
        "privileges",
        "credentials",
      ]),
    );
  });

  it.each([
    ["exit 0", { reason: ExitReason.EXITED, code: 0, signal: "" }],
    ["exit 7", { reason: ExitReason.EXITED, code: 7, signal: "" }],
    ["kill -KILL $$", { reason: ExitReason.SIGNALLED, code: 0, signal: "SIGKILL" }],
    ["kill -TERM $$", { reason: ExitReason.SIGNALLED, code: 0, signal: "SIGTERM" }],
  ])("tells how %j ended", async (script, expected) => {
    const { exit } = await sh(script).collect();
    expect(exit).toMatchObject(expected);
  });

  it("G-21 tells processes the placeholders of providers, as soon as they are granted and no longer", async () => {
    const { plane, session } = sandbox;
    const granted = (...providers: string[]) =>
      session.send({ case: "workloadGrants", value: { audiences: [], providers } });
    const key = async (more: object = {}) => (await sh('printf %s "$MODELS_KEY"', more).collect()).stdout;
    expect(await key()).toBe("");
    plane.providerEnvironment = { MODELS_KEY: "sandgate-placeholder-one", http_proxy: "http://evil.example" };
    granted("models@1");
    expect(await key()).toBe("sandgate-placeholder-one");
    expect(await key({ environment: { MODELS_KEY: "own" } })).toBe("own");
    expect((await sh('printf %s "$http_proxy"').collect()).stdout).toBe("http://127.0.0.1:3128");
    plane.providerEnvironment = {};
    granted();
    expect(await key()).toBe("");
  });

  it("starts processes with what it knows while the environment of providers cannot be had", async () => {
    const { plane, session } = sandbox;
    plane.providerEnvironment = { MODELS_KEY: "sandgate-placeholder-two" };
    plane.broken = "getSandboxProviderEnvironment";
    session.send({ case: "workloadGrants", value: { audiences: [], providers: ["models@1"] } });
    const key = async () => (await sh('printf %s "$MODELS_KEY"').collect()).stdout;
    expect(await key()).toBe("");
    plane.broken = undefined;
    await expect.poll(key, { timeout: 10_000 }).toBe("sandgate-placeholder-two");
    session.send({ case: "workloadGrants", value: { audiences: [], providers: [] } });
  });

  it("keeps stdout and stderr apart, and both can be opened by name", async () => {
    const { stdout, stderr } = await sh("echo out > /dev/stdout; echo err > /dev/stderr").collect();
    expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "err\n" });
  });

  it("carries standard input to its end", async () => {
    const cat = exec(["cat"]);
    cat.input({ case: "stdin", value: Buffer.from("one ") });
    cat.input({ case: "stdin", value: Buffer.from("two") });
    cat.input({ case: "stdinClosed", value: true });
    expect(await cat.collect()).toMatchObject({ stdout: "one two", exit: { code: 0 } });
  });

  it("carries binary input and output unharmed, both at the same time, in any amount", async () => {
    const sum = exec(["sh", "-c", "tee /tmp/copy | sha256sum; cat /tmp/copy | wc -c"]);
    const block = Buffer.from(Array.from({ length: 65_536 }, (_, index) => index % 256));
    for (let index = 0; index < 128; index += 1) sum.input({ case: "stdin", value: block });
    sum.input({ case: "stdinClosed", value: true });
    const { createHash } = await import("node:crypto");
    const hash = createHash("sha256");
    for (let index = 0; index < 128; index += 1) hash.update(block);
    expect((await sum.collect()).stdout).toBe(`${hash.digest("hex")}  -\n${128 * 65_536}\n`);
  });

  it("makes a process wait for a caller who does not read", async () => {
    const script = "head -c 33554432 /dev/zero & p=$!; echo $p > /tmp/pid; wait; echo done > /tmp/written";
    await sh("rm -f /tmp/written").collect();
    const flood = sh(script);
    const iterator = flood.outputs[Symbol.asyncIterator]();
    const first = await iterator.next();
    const look = await sh(
      "head -c 50000000 /dev/zero | sha256sum > /dev/null; cat /tmp/written 2>/dev/null; true",
    ).collect();
    expect(look.stdout).toBe("");
    let bytes = first.value?.output.value.length ?? 0;
    for await (const { output } of { [Symbol.asyncIterator]: () => iterator })
      if (output.case === "stdout") bytes += output.value.length;
    expect(bytes).toBe(32 * 1024 * 1024);
    expect((await sh("cat /tmp/written").collect()).stdout).toBe("done\n");
  });

  it("passes signals to the process's group, also at once after the start, and past input that nobody reads", async () => {
    const early = sh("sleep 100");
    early.input({ case: "signal", value: "SIGTERM" });
    expect((await early.collect()).exit).toMatchObject({ signal: "SIGTERM" });

    const deaf = sh("trap 'echo got; exit 5' USR1; echo on; while :; do sleep 0.05; done");
    const read = reader(deaf);
    await read.until("on");
    for (let index = 0; index < 16; index += 1) deaf.input({ case: "stdin", value: Buffer.alloc(65_536) });
    deaf.input({ case: "signal", value: "SIGUSR1" });
    await read.until("got");
    expect((await read.end()).last).toMatchObject({ case: "exit", value: { code: 5 } });
  });

  it("ignores a signal that does not exist, and signals after the end", async () => {
    const short = sh("exit 3");
    short.input({ case: "signal", value: "SIGNONSENSE" });
    expect((await short.collect()).exit).toMatchObject({ code: 3 });
  });

  it("hangs up, then kills, what a caller has left behind", async () => {
    const polite = sh("trap 'echo hup > /tmp/hup; exit' HUP; echo on; while :; do sleep 0.05; done");
    await reader(polite).until("on");
    polite.abandon();
    const { exit } = await sh("for i in $(seq 200); do [ -f /tmp/hup ] && exit 0; sleep 0.05; done; exit 1").collect();
    expect(exit).toMatchObject({ code: 0 });
  });

  it("has shells' statuses for what cannot be run, and a fault for what cannot be started", async () => {
    expect(await exec(["no-such-command"]).collect()).toMatchObject({ exit: { code: 127 } });
    expect(await exec(["/etc"]).collect()).toMatchObject({ exit: { code: 126 } });
    expect(await exec([]).collect()).toMatchObject({ startFault: "there is no command" });
    expect(await exec(["true"], { environment: { "A B": "" } }).collect()).toMatchObject({
      startFault: "the name of an environment variable is not valid",
    });
    const elsewhere = await exec(["true"], { workingDirectory: "nowhere" }).collect();
    expect(elsewhere.startFault).toContain("nowhere");
  });

  it("gives a process its directory and environment", async () => {
    await sh("mkdir -p /workspace/sub").collect();
    const { stdout } = await sh('pwd; echo "$MINE $FROM_SPEC $SANDBOX_ID"; hostname', {
      workingDirectory: "sub",
      environment: { MINE: "mine" },
    }).collect();
    expect(stdout).toBe(`/workspace/sub\nmine yes ${sandboxId}\ndemo\n`);
  });

  it("does not let a workload's variables reach the sandbox program", async () => {
    const { exit, stderr } = await exec(["true"], { environment: { LD_PRELOAD: "/workspace/evil.so" } }).collect();
    expect(exit).toMatchObject({ code: 0 });
    expect(stderr.match(/evil\.so/g)?.length ?? 0).toBeLessThanOrEqual(2); // the shell and the command, inside
  });

  describe("with a terminal", () => {
    const terminal = { rows: 40, columns: 100 };

    it("is a terminal of that size, and can be resized", async () => {
      const shell = sh(
        "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size; trap 'stty size; exit 4' WINCH; echo on; while :; do sleep 0.05; done",
        { terminal },
      );
      const read = reader(shell);
      expect(await read.until("on")).toBe("40 100\r\non\r\n");
      shell.input({ case: "resize", value: { rows: 10, columns: 20 } });
      await read.until("10 20");
      expect((await read.end()).last).toMatchObject({ case: "exit", value: { code: 4 } });
    });

    it("turns ^C into an interrupt of the foreground, and lets the process handle it", async () => {
      const shell = sh("trap 'echo caught; exit 6' INT; echo on; while :; do sleep 0.05; done", { terminal });
      const read = reader(shell);
      await read.until("on");
      shell.input({ case: "stdin", value: Buffer.from("\x03") });
      await read.until("caught");
      expect((await read.end()).last).toMatchObject({ case: "exit", value: { code: 6 } });
    });

    it("runs an interactive shell with job control", async () => {
      const shell = exec(["bash", "--norc", "-i"], { terminal, environment: { PS1: "> " } });
      const read = reader(shell);
      await read.until("> ");
      shell.input({ case: "stdin", value: Buffer.from("sh -c 'echo $((40+2)) on; exec sleep 100'\n") });
      await read.until("42 on");
      shell.input({ case: "stdin", value: Buffer.from("\x1a") });
      await read.until("Stopped");
      await read.until("> ");
      shell.input({
        case: "stdin",
        value: Buffer.from("kill -KILL %1; while jobs %1 > /dev/null 2>&1; do :; done; exit 9\n"),
      });
      const { last, text } = await read.end();
      expect(last).toMatchObject({ case: "exit", value: { code: 9 } });
      expect(text).not.toContain("no job control");
    });

    it("ends its input with the terminal's own character", async () => {
      const cat = exec(["cat"], { terminal });
      cat.input({ case: "stdin", value: Buffer.from("line\n") });
      const read = reader(cat);
      await read.until("line\r\nline");
      cat.input({ case: "stdinClosed", value: true });
      expect((await read.end()).last).toMatchObject({ case: "exit", value: { code: 0 } });
    });
  });

  it("carries a request of the workload to the egress socket, with the egress credential", async () => {
    const connection = sandbox.egress.next();
    const request = exec([
      "/opt/sandgate/bin/node",
      "-e",
      'require("node:http").get({ host: "127.0.0.1", port: 3128, path: "http://example.com/", headers: { host: "example.com", "proxy-authorization": "Bearer mine" } }, (r) => r.pipe(process.stdout))',
    ]).collect();
    const { value: socket } = await connection;
    const [chunk] = await once(socket, "data");
    const egressToken = sandbox.plane.issued.findLast((token) => token.startsWith("egress-"));
    expect(chunk.toString()).toContain(`Proxy-Authorization: Bearer ${egressToken}\r\n`);
    expect(chunk.toString()).not.toContain("mine");
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    expect((await request).stdout).toBe("hello");
  });

  it("tells with every pong for how long nothing has happened: no command, and nothing to or from the egress socket", async () => {
    const idleMs = async (): Promise<number> => {
      const before = sandbox.plane.calls.pong ?? 0;
      sandbox.session.send({ case: "ping", value: {} });
      await vi.waitFor(() => expect(sandbox.plane.calls.pong).toBe(before + 1));
      return sandbox.plane.idle === undefined ? Number.NaN : durationMs(sandbox.plane.idle);
    };
    await vi.waitFor(async () => expect(await idleMs()).toBeGreaterThan(50));
    const cat = exec(["cat"]);
    await vi.waitFor(async () => expect(await idleMs()).toBe(0));
    cat.input({ case: "stdinClosed", value: true });
    await cat.collect();
    await vi.waitFor(async () => expect(await idleMs()).toBeGreaterThan(50));
    const connection = sandbox.egress.next();
    const tunnel = exec([
      "bash",
      "-c",
      "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT a.example:443 HTTP/1.1\\r\\nHost: a.example:443\\r\\n\\r\\n' >&3; (cat <&3 > /dev/null) & disown; sleep 0.1",
    ]);
    const { value: socket } = await connection;
    await tunnel.collect();
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    await vi.waitFor(async () => expect(await idleMs()).toBeGreaterThan(50)); // open, and silent
    socket.write("x");
    await vi.waitFor(async () => expect(await idleMs()).toBe(0));
    socket.destroy();
  });

  it("answers pings", async () => {
    const before = sandbox.plane.calls.pong ?? 0;
    sandbox.session.send({ case: "ping", value: {} });
    await sh("true").collect();
    expect(sandbox.plane.calls.pong).toBe(before + 1);
  });
});

describe("a supervisor's main process", () => {
  it("has its output stored in order and its end reported, once, through failures of the server", async () => {
    const sandbox = await startSupervisedSandbox((plane) => {
      plane.broken = "pushSandboxLogs";
    });
    const { plane, session } = sandbox;
    const script = "for i in $(seq 2000); do echo out $i; echo err $i >&2; done; exit 3";
    for (let times = 0; times < 2; times += 1)
      session.send({ case: "startMain", value: { spec: { command: ["sh", "-c", script], environment: { X: "y" } } } });
    await plane.until(() => (plane.calls.pushSandboxLogs ?? 0) >= 2);
    plane.broken = "reportProcessExit";
    await plane.until(() => (plane.calls.reportProcessExit ?? 0) >= 2);
    plane.broken = undefined;
    expect(await plane.mainExit).toMatchObject({ reason: ExitReason.EXITED, code: 3 });
    const expected = Array.from({ length: 2_000 }, (_, index) => `out ${index + 1}\nerr ${index + 1}\n`).join("");
    expect(plane.log()).toBe(expected);
    await sandbox.close();
  });
});

describe("a supervisor and its control plane", () => {
  it("outlives a control plane that goes away and comes back: processes go on, output is complete", async () => {
    const sandbox = await startSupervisedSandbox();
    const { plane, session } = sandbox;
    const script = "for i in $(seq 40); do echo line $i; sleep 0.05; done";
    session.send({ case: "startMain", value: { spec: { command: ["sh", "-c", script] } } });
    await plane.until(() => plane.log() !== "");
    await sandbox.takeControlAway();
    await sandbox.bringControlBack();
    const again = await plane.sessionAfter(session);
    expect((await again.confinement).checks.length).toBeGreaterThan(0);
    expect(await plane.mainExit).toMatchObject({ code: 0 });
    expect(plane.log()).toBe(Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`).join(""));
    expect((await plane.exec(again, { command: ["true"] }).collect()).exit).toMatchObject({ code: 0 });
    expect(plane.calls.issueSandboxToken).toBe(1);
    await sandbox.close();
  });

  it("G-14: refreshes before the credentials run out, and rejoins when they have", async () => {
    const sandbox = await startSupervisedSandbox((plane) => {
      plane.lifeMs = 1_500;
    });
    const { plane } = sandbox;
    await plane.until(() => (plane.calls.refreshSandboxToken ?? 0) >= 1);
    plane.broken = "refreshSandboxToken";
    await plane.until(() => (plane.calls.rejoinSandbox ?? 0) >= 1);
    plane.broken = undefined;
    plane.lifeMs = 900_000;
    const session = await plane.session();
    expect((await plane.exec(session, { command: ["true"] }).collect()).exit).toMatchObject({ code: 0 });
    await sandbox.close();
  });

  it("ends with every process when the driver asks it to: they are asked first, and their last words are passed on", async () => {
    const sandbox = await startSupervisedSandbox();
    const { plane, session } = sandbox;
    const asked = reader(
      plane.exec(session, {
        command: ["sh", "-c", "trap 'echo term; exit 0' TERM; echo on; while :; do sleep 0.05; done"],
      }),
    );
    await asked.until("on");
    sandbox.terminate();
    await asked.until("term");
    expect((await asked.end()).last).toMatchObject({ case: "exit", value: { code: 0 } });
    expect(await sandbox.exited).toBe(0);
    await sandbox.close();
  });

  it.each(["SANDGATE_SANDBOX_TOKEN", "SANDGATE_K8S_SA_TOKEN_FILE"] as const)(
    "G-11, G-12: enrols by %s, which no process of the workload finds, nor what it says",
    async (enrolment) => {
      const sandbox = await startSupervisedSandbox(undefined, enrolment);
      const { plane, session } = sandbox;
      const hunt = `
        const fs = require("node:fs");
        const [needle, variable] = process.argv.slice(1);
        const found = [];
        const look = (path) => {
          try {
            const status = fs.statSync(path);
            if (status.isFile()) {
              const text = fs.readFileSync(path, "latin1");
              if (text.includes(needle) || text.includes(variable)) found.push(path);
            } else if (status.isDirectory()) for (const name of fs.readdirSync(path)) look(path + "/" + name);
          } catch {}
        };
        for (const pid of fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)))
          for (const name of ["environ", "fd", ...(pid === "1" || pid === String(process.pid) ? [] : ["cmdline", "mem", "root/run"])])
            look("/proc/" + pid + "/" + name);
        for (const root of ["/run", "/tmp", "/workspace", "/etc", "/opt/sandgate/supervisor", "/var", "/dev/shm"]) look(root);
        console.log(JSON.stringify({ found, pids: fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).length }));
      `;
      // without its first letters: the hunter's own arguments must not be what it finds
      const words = [plane.bootstrapToken.slice(3), enrolment.slice(3)];
      const command = ["/opt/sandgate/bin/node", "-e", hunt, "--", ...words];
      const { stdout, stderr } = await plane.exec(session, { command }).collect();
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toMatchObject({ found: [] });
      // and it finds what is there to be found
      const { stdout: control } = await plane
        .exec(session, { command, environment: { LEAK: words[0] ?? "" } })
        .collect();
      expect(JSON.parse(control).found).not.toEqual([]);
      expect(await sandbox.log()).not.toContain(plane.bootstrapToken);
      await sandbox.close();
    },
  );

  it("G-10: gives up with the reason when it is refused, and never says the token", async () => {
    let token = "";
    const starting = startSupervisedSandbox((plane) => {
      token = plane.bootstrapToken;
      Object.defineProperty(plane, "bootstrapToken", { value: "another" });
    });
    const fault = await starting.then(
      () => "started",
      (cause: unknown) => String(cause),
    );
    expect(fault).toContain("ended with 3");
    expect(fault).toContain("CREDENTIAL_REJECTED");
    expect(fault).not.toContain(token);
  });
});
