import { once } from "node:events";
import { statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OriginServers, startOriginServers } from "../../scripts/demo/origin-servers.ts";
import { parseLines, SuiteDirectory } from "./suite-directory.fixture.ts";

const node = "/opt/sandgate/bin/node";
const get = (url: string) =>
  `require("node:http").get(${JSON.stringify(url)}, (r) => { console.log(r.statusCode, r.headers["x-deny-reason"] ?? "ok"); r.resume(); })`;

let suite: SuiteDirectory;
let origins: OriginServers;

beforeAll(async () => {
  suite = new SuiteDirectory();
  origins = await startOriginServers(["api.example"]);
  const up = await suite.sandgate(["up", "--development-origin", `api.example:80=127.0.0.1:${origins.httpPort}`]);
  expect(up).toMatchObject({ exitCode: 0 });
});
afterAll(async () => {
  await suite.remove();
  await origins.close();
});

describe("sandgate up and status", () => {
  it("say that the suite runs already", async () => {
    expect(await suite.json("up")).toMatchObject([{ alreadyRunning: true, topology: "all-in-one" }]);
  });

  it("keep what reaches the suite to its user", () => {
    expect(statSync(join(suite.path, "client.json")).mode & 0o777).toBe(0o600);
    expect(statSync(join(suite.path, "pki/operator.key.pem")).mode & 0o077).toBe(0);
  });

  it("show each process, its checks and its memory", async () => {
    const [status] = await suite.json("status");
    expect(status).toMatchObject({ state: "ready" });
    expect(status?.["processes"]).toEqual(
      expect.arrayContaining(
        ["postgres", "all-in-one", "egress-proxy"].map((name) => expect.objectContaining({ name, state: "ready" })),
      ),
    );
    // the suite at rest stays under 300 MB with its database
    expect(status?.["memoryBytes"]).toBeLessThan(300_000_000);
  });

  it("refuse a port that another program has, and name it", async () => {
    const other = new SuiteDirectory();
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    try {
      const refused = await other.sandgate(["up", "--edge-port", String(port)]);
      expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(String(port)) });
      expect(other.processes()).toEqual([]);
    } finally {
      server.close();
      await other.remove();
    }
  }, 180_000);
});

describe("sandgate run", { timeout: 60_000 }, () => {
  it.each([
    ["exits as the command did", ["sh", "-c", "exit 7"], 7],
    ["exits with 128 and the signal that ended it", ["sh", "-c", "kill -TERM $$"], 143],
    ["exits with 127 where the command is not there", ["no-such-command"], 127],
  ])("%s", async (_, words, exitCode) => {
    expect((await suite.sandgate(["run", "--", ...words])).exitCode).toBe(exitCode);
  });

  it("exits with 125 where sandgate itself fails", async () => {
    expect((await suite.sandgate(["run", "--allow", "*.com", "--", "true"])).exitCode).toBe(125);
    expect((await suite.sandgate(["run", "--name", "Not A Name", "--", "true"])).exitCode).toBe(125);
  });

  it("pipes standard streams through, byte for byte", async () => {
    const input = Buffer.from(Array.from({ length: 300_000 }, (_, index) => 97 + (index % 26)));
    const { exitCode, stdout, stderr } = await suite.sandgate(["run", "--", "sh", "-c", "cat; echo done >&2"], input);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "done\n" });
    expect(Buffer.from(stdout).equals(input)).toBe(true);
  });

  it("shows what was tried, the verdicts and how to let it through", async () => {
    const program = [get("http://api.example/"), get("http://vault.example/")].join(";");
    const { exitCode, stdout, stderr } = await suite.sandgate(["run", "-a", "api.example", "--", node, "-e", program]);
    expect(exitCode).toBe(0);
    expect(stdout.trim().split("\n").sort()).toEqual(["200 ok", "403 host_not_allowed"]);
    expect(stderr).toMatch(/allowed +api\.example:80 +1 +rule api-example/);
    expect(stderr).toMatch(/denied +vault\.example:80 +1 +host_not_allowed/);
    expect(stderr).toContain("--allow vault.example");
  });

  it("tells the same as a stream of JSON", async () => {
    const told = await suite.json("run", "--timings", "--env", "WORD=hello", "--", "sh", "-c", "echo $WORD");
    expect(told.map(({ event }) => event)).toEqual(["sandbox", "stdout", "exit", "timings"]);
    expect(Buffer.from(String(told[1]?.["data"]), "base64").toString()).toBe("hello\n");
    expect(told[2]).toMatchObject({ exitCode: 0, exit: { reason: "EXIT_REASON_EXITED" } });
  });

  it("removes the sandbox, unless it is to be kept", async () => {
    await suite.sandgate(["run", "--name", "passing", "--", "true"]);
    await suite.sandgate(["run", "--name", "staying", "--keep", "--", "true"]);
    const [list] = await suite.json("ls");
    const sandboxes = (list?.["sandboxes"] ?? []) as { name: string; phase: string }[]; // as `ls` prints them
    const kept = sandboxes.filter(({ phase }) => phase === "PHASE_READY");
    expect(kept.map(({ name }) => name)).toEqual(["staying"]);
    expect((await suite.sandgate(["rm", "staying"])).exitCode).toBe(0);
  });
});

describe("a sandbox that lives on", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    await suite.json(
      "create",
      "box",
      "--allow",
      "api.example",
      "--",
      "sh",
      "-c",
      "echo one; echo two; exec sleep 3600",
    );
  });
  afterAll(async () => {
    await suite.sandgate(["rm", "box"]);
  });

  it("is shown by name and by id", async () => {
    const [box] = await suite.json("get", "box");
    expect(box).toMatchObject({ name: "box", phase: "PHASE_READY" });
    expect(await suite.json("get", String(box?.["id"]))).toMatchObject([{ name: "box" }]);
  });

  it("gives a command a terminal of the right size where there is one", async () => {
    const { exitCode, stdout } = await suite.inTerminal(
      "stty rows 33 columns 77; sandgate exec box -- sh -c 'test -t 0 && test -t 1 && stty size; exit 4'",
    );
    expect(stdout).toContain("33 77");
    expect(exitCode).toBe(4);
  });

  it("passes the first interruption to the command", async () => {
    const child = suite.start([
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "trap 'echo caught; exit 9' INT; echo up; while :; do read line; done",
    ]);
    if (child.stdout === null) throw new Error("no pipe");
    await once(child.stdout, "data");
    const caught = once(child.stdout, "data");
    child.kill("SIGINT");
    expect(String((await caught)[0])).toBe("caught\n");
    expect((await once(child, "close"))[0]).toBe(9);
  });

  it("gives a command up at the second interruption", async () => {
    const child = suite.start([
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "trap 'echo caught' INT; echo up; while :; do read line; done",
    ]);
    if (child.stdout === null) throw new Error("no pipe");
    await once(child.stdout, "data");
    const caught = once(child.stdout, "data");
    child.kill("SIGINT");
    await caught;
    child.kill("SIGINT");
    expect((await once(child, "close"))[0]).toBe(130);
  });

  it("has its main process's output", async () => {
    expect((await suite.sandgate(["logs", "box"])).stdout).toBe("one\ntwo\n");
    expect((await suite.sandgate(["logs", "box", "--offset", "4"])).stdout).toBe("two\n");
  });

  it("gets a policy, and says when it is enforced", async () => {
    const [set] = await suite.json("policy", "set", "box", "--allow", "vault.example:8443", "--wait");
    expect(set).toMatchObject({ revision: { revision: "2" }, enforcement: { revision: "2" } });
    const { stdout } = await suite.sandgate(["policy", "get", "box"]);
    expect(stdout).toContain("vault.example");
    const again = await suite.sandgate(["policy", "set", "box", "-", "--wait"], stdout);
    expect(again.exitCode).toBe(0);
    const stale = await suite.sandgate(["policy", "set", "box", "-", "--expect-revision", "1"], stdout);
    expect(stale).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("read the policy again") });
  });

  it("shows a policy's revisions and what makes one of another, and goes back to one", async () => {
    const before = await suite.json("policy", "history", "box", "--limit", "2");
    const [newest, former] = before.map(({ revision }) => String(revision));
    await suite.json("policy", "set", "box", "--allow", "other.example", "--wait");
    const [difference] = await suite.json("policy", "diff", "box", String(newest));
    expect(difference).toMatchObject({ added: [{ hosts: ["other.example"] }], changed: [] });
    const [back] = await suite.json("policy", "rollback", "box", String(newest), "--wait");
    expect(back).toMatchObject({ revision: { revision: String(Number(newest) + 2) } });
    expect(await suite.json("policy", "diff", "box", String(newest))).toEqual([
      { added: [], removed: [], changed: [], sections: {} },
    ]);
    expect(Number(former)).toBeLessThan(Number(newest));
    expect((await suite.sandgate(["policy", "rollback", "box", "999"])).exitCode).toBe(3);
  });

  it("has its decisions listed", async () => {
    await suite.sandgate(["exec", "box", "--", node, "-e", get("http://nowhere.example/")]);
    const { stdout } = await suite.sandgate(["run", "--json", "--", node, "-e", get("http://nowhere.example/")]);
    const [first] = parseLines(stdout).filter(({ event }) => event === "decision");
    expect(first).toMatchObject({ decision: { host: "nowhere.example", verdict: "VERDICT_DENIED" } });
    const decisions = await suite.json("decisions", "box", "--denied");
    expect(decisions).toMatchObject([{ host: "nowhere.example", reason: "host_not_allowed" }]);
  });

  it("explains a decision, and says that there is none", async () => {
    const denied = async () =>
      (await suite.json("decisions", "box", "--denied")).map(({ decisionId }) => String(decisionId));
    const [explained] = await suite.json("explain", (await denied()).at(-1) ?? "");
    expect(explained).toMatchObject({
      outlook: "OUTLOOK_REQUESTABLE",
      decision: { host: "nowhere.example" },
      nextCommand: expect.stringMatching(/^sandgate policy propose sbx-/),
    });
    expect((await suite.sandgate(["explain", "dec-aaaaaaaaaaaaaaaaaaaa"])).exitCode).toBe(3);
  });

  it("cannot paint on the terminal of who lists it", async () => {
    await suite.json("create", "painter", "--", "sh", "-c", "sleep 3600 #\u001b[2J\u202e");
    const { stdout } = await suite.sandgate(["ls"]);
    await suite.sandgate(["rm", "painter", "--no-wait"]);
    expect(stdout).toContain("\\x1b[2J\\u202e");
    expect(stdout).not.toContain("\u001b");
  });

  it("can be revoked, with what it held", async () => {
    await suite.json("create", "gone");
    expect(await suite.json("revoke", "gone", "--reason", "test")).toMatchObject([{ revokeTime: expect.any(String) }]);
    const events = await suite.json("audit", "--sandbox", "gone", "--service", "auth");
    expect(events.map(({ action }) => action)).toContain("sandbox.revoked");
    await suite.sandgate(["rm", "gone"]);
  });
});

describe("who calls", () => {
  it("is told by name, role and how it was recognized", async () => {
    expect(await suite.json("whoami")).toMatchObject([
      { kind: "PRINCIPAL_KIND_USER", authenticator: "operator-certificate", user: { role: "ROLE_ADMIN" } },
    ]);
  });

  it("gets a token on standard output and nowhere else", async () => {
    const { stdout, stderr } = await suite.sandgate(["token"]);
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(stderr).toBe("");
  });
});

describe("a container token", () => {
  it("S0-07, D-10 is verified by the suite, for its audience alone and until it is revoked", async () => {
    const file = join(suite.path, "container-token");
    await suite.json("create", "holder");
    await suite.json("token", "mint", "holder", "--out", file);
    const verify = (audience: string) => suite.sandgate(["token", "verify", "--file", file, "--audience", audience]);
    expect(await verify("egress-proxy")).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^sandbox sbx-/) });
    expect(await verify("sandbox-api")).toMatchObject({ exitCode: 4 });
    await suite.json("token", "revoke", "--file", file);
    const refused = await verify("egress-proxy");
    expect(refused).toMatchObject({ exitCode: 4, stderr: expect.stringContaining("no live token") });
    await suite.sandgate(["rm", "holder"]);
  });
});

describe("what is not there", () => {
  it.each([
    ["get", ["get", "nobody"], 3],
    ["policy get", ["policy", "get", "nobody"], 3],
    ["decisions", ["decisions", "nobody"], 3],
    ["rm", ["rm", "nobody"], 3],
    ["logs", ["logs", "nobody"], 3],
    ["revoke", ["revoke", "nobody"], 3],
    ["exec", ["exec", "nobody", "true"], 125],
  ])("%s says so with its exit code and what to do", async (_, words, exitCode) => {
    const outcome = await suite.sandgate(words);
    expect(outcome.exitCode).toBe(exitCode);
    expect(outcome.stderr).toContain("sandgate ls");
  });
});

describe("a process of the suite that is killed", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    await suite.json("create", "survivor");
  });

  it.each(["egress-proxy", "all-in-one", "postgres"])(
    "is missed by status and started again by up: %s",
    async (name) => {
      const { [name]: pid = 0 } = await suite.pids();
      process.kill(pid, "SIGKILL");
      const status = await suite.sandgate(["status", "--json"]);
      expect(status.exitCode).not.toBe(0);
      expect((await suite.sandgate(["up"])).exitCode).toBe(0);
      expect((await suite.sandgate(["exec", "survivor", "--", "echo", "alive"])).stdout).toBe("alive\n");
      expect((await suite.pids())[name]).not.toBe(pid);
    },
  );

  it("is started once by two at the same time", async () => {
    const { "egress-proxy": pid = 0 } = await suite.pids();
    process.kill(pid, "SIGKILL");
    const both = await Promise.all([suite.json("up"), suite.json("up")]);
    expect(
      both
        .flat()
        .map(({ alreadyRunning }) => alreadyRunning)
        .sort(),
    ).toEqual([false, true]);
    expect(suite.processes().filter((line) => line.includes("egress-proxy.json"))).toHaveLength(1);
  });
});

describe("sandgate down", () => {
  it("leaves nothing behind but what the next up needs, with the sandboxes or without", async () => {
    const other = new SuiteDirectory();
    try {
      expect((await other.sandgate(["up", "--separate"])).exitCode).toBe(0);
      expect(Object.keys(await other.pids()).sort()).toEqual([
        "auth",
        "egress-proxy",
        "gateway",
        "policy",
        "postgres",
        "sandbox",
      ]);
      await other.json("create", "kept");
      expect((await other.sandgate(["down", "--keep"])).exitCode).toBe(0);
      expect((await other.sandgate(["status"])).exitCode).toBe(5);

      expect((await other.sandgate(["up"])).exitCode).toBe(0);
      expect((await other.sandgate(["exec", "kept", "--", "echo", "kept"])).stdout).toBe("kept\n");

      expect(await other.json("down")).toMatchObject([{ removed: [expect.stringMatching(/^sbx-/)] }]);
      expect(other.processes()).toEqual([]);
      expect((await other.sandgate(["ls"])).exitCode).toBe(5);
      expect((await other.sandgate(["down"])).exitCode).toBe(0);
    } finally {
      await other.remove();
    }
  }, 180_000);
});
