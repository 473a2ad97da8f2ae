import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

let suite: SuiteDirectory;
beforeAll(async () => {
  suite = new SuiteDirectory();
  expect(await suite.sandgate(["up"])).toMatchObject({ exitCode: 0 });
});
afterAll(() => suite.remove());

const succeed = async (...words: readonly string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await suite.sandgate(words);
  expect([words.join(" "), exitCode, exitCode === 0 ? "" : stderr]).toEqual([words.join(" "), 0, ""]);
  return stdout;
};
const exitCodeOf = async (...words: readonly string[]): Promise<number | null> =>
  (await suite.sandgate(words)).exitCode;
const get = async (name: string) => (await suite.json("get", name))[0];

describe("sandgate ls", { timeout: 60_000 }, () => {
  it("shows the sandboxes with a label, in a phase, of a user", async () => {
    await succeed("create", "labelled", "-l", "team=web", "-l", "example.com/tier=b");
    await succeed("create", "other", "-l", "team=db");
    const names = async (...options: readonly string[]) => {
      const [list] = await suite.json("ls", ...options);
      const sandboxes = (list?.["sandboxes"] ?? []) as readonly { readonly name: string }[]; // as `ls` prints them
      return sandboxes.map(({ name }) => name);
    };
    expect(await names("-l", "team=web")).toEqual(["labelled"]);
    expect(await names("-l", "team=web", "-l", "example.com/tier=c")).toEqual([]);
    expect(await names("--phase", "ready", "-l", "team=db")).toEqual(["other"]);
    expect(await names("--phase", "STOPPED")).toEqual([]);
    const owner = String((await get("other"))?.["ownerUserId"]);
    expect(await names("--owner", owner)).toEqual(["other", "labelled"]);
    expect(
      await names(
        "--owner",
        owner.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
      ),
    ).toEqual([]);
    await succeed("rm", "labelled", "other");
  });
});

describe("sandgate stop and start", { timeout: 60_000 }, () => {
  it("end every process and keep what was written; the next incarnation has an identity and a way out of its own (D-29)", async () => {
    await succeed("create", "again");
    const { id } = (await get("again")) as { readonly id: string };
    await succeed("exec", "again", "--", "sh", "-c", "echo kept > file");
    await succeed("stop", "again");
    expect(suite.processes().filter((process) => process.includes(id))).toEqual([]);
    expect(await get("again")).toMatchObject({ phase: "PHASE_STOPPED", incarnation: "1" });
    expect(await exitCodeOf("exec", "again", "--", "true")).toBe(125);
    await succeed("stop", "again"); // it is
    await succeed("start", "again");
    expect(await get("again")).toMatchObject({ phase: "PHASE_READY", incarnation: "2" });
    expect(await succeed("exec", "again", "--", "cat", "file")).toBe("kept\n");
    const denied = `require("node:http").get("http://denied.example/", (r) => console.log(r.headers["x-deny-reason"]))`;
    expect(await succeed("exec", "again", "--", "/opt/sandgate/bin/node", "-e", denied)).toBe("host_not_allowed\n");
    await succeed("start", "again"); // it runs
    expect(await get("again")).toMatchObject({ incarnation: "2" });
    await succeed("rm", "again");
    expect(await exitCodeOf("start", "again")).toBe(3);
  });

  it("run a main process again, with its output behind that of the first", async () => {
    await succeed("create", "twice", "--no-wait", "--", "sh", "-c", "echo run");
    await succeed("wait", "twice", "--for", "completed");
    await succeed("start", "twice", "--no-wait");
    await succeed("wait", "twice", "--for", "completed");
    expect(await succeed("logs", "twice", "--follow")).toBe("run\nrun\n");
    await succeed("rm", "twice");
  });

  it("refuse what was revoked by hand (G-15)", async () => {
    await succeed("create", "revoked");
    await succeed("revoke", "revoked");
    await succeed("wait", "revoked", "--for", "failed");
    const { exitCode, stderr } = await suite.sandgate(["start", "revoked"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("revoked")]);
    await succeed("rm", "revoked");
  });
});

describe("a sandbox that nobody uses", { timeout: 90_000 }, () => {
  it("is stopped after its idle timeout, and says so; a command keeps it", async () => {
    await succeed("create", "idle", "--idle-timeout", "10s");
    expect(await succeed("get", "idle")).toMatch(/when idle +stopped after 10.00 s, .* \(in /);
    const busy = suite.sandgate(["exec", "idle", "--", "sleep", "14"]);
    expect((await busy).exitCode).toBe(0);
    expect(await get("idle")).toMatchObject({ phase: "PHASE_READY" });
    await succeed("wait", "idle", "--for", "stopped");
    expect(await succeed("explain", "idle")).toMatch(/nothing had happened in it[\s\S]*next: sandgate start idle/);
    await succeed("update", "idle", "--no-idle-timeout", "--expire-after", "2h", "-l", "a=b");
    expect(await succeed("get", "idle")).toMatch(/labels +a=b[\s\S]*expires .* \(in 1 h\)/);
    await succeed("update", "idle", "--expire-after", "1s");
    await succeed("wait", "idle", "--for", "deleted");
  });
});

describe("sandgate wait", { timeout: 60_000 }, () => {
  it("exits as the wait ended", async () => {
    await succeed("create", "waited", "--no-wait", "--", "sh", "-c", "exit 3");
    await succeed("wait", "waited", "--for", "failed");
    expect(await exitCodeOf("wait", "waited", "--for", "ready")).toBe(1);
    expect(await exitCodeOf("wait", "waited", "--for", "deleted", "--timeout", "200ms")).toBe(6);
    expect(await exitCodeOf("wait", "nobody")).toBe(3);
    const [explained] = await suite.json("explain", "waited");
    expect(explained).toMatchObject({
      summary: "it failed at run: the main process exited with an error",
      nextCommand: "sandgate logs waited",
      lastFailure: { incarnation: "1", stage: "run" },
    });
    await succeed("rm", "waited");
  });

  it("goes on through a restart of the suite, and hears of what happened meanwhile", async () => {
    await succeed("create", "through");
    const waits = Promise.withResolvers<void>();
    const waiting = suite.inTerminal("sandgate wait through --for stopped --timeout 40s", {
      after: "through: READY",
      act: waits.resolve,
    });
    await waits.promise;
    await succeed("down", "--keep");
    await succeed("up");
    await succeed("stop", "through");
    expect(await waiting).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("through STOPPED") });
    await succeed("rm", "through");
  });
});

it("sandgate create makes a sandbox from a template, but for what it says itself", async () => {
  const spec = ["-e", "WORD=one", "-e", "LANG=C", "-l", "team=web", "--max-processes", "64", "--allow", "a.example"];
  await succeed("template", "create", "builder", ...spec, "--", "sh", "-c", "echo $WORD $LANG");
  expect(await succeed("template", "ls")).toMatch(/builder +.* +sh -c echo/);
  expect(await succeed("template", "get", "builder")).toMatch(/labels +team=web[\s\S]*a\.example/);
  expect(await exitCodeOf("template", "create", "builder", ...spec)).toBe(1);
  expect(await exitCodeOf("template", "create", "other", "-e", "API_TOKEN=x")).toBe(2);
  await succeed("create", "built", "--template", "builder", "-e", "WORD=two", "-l", "tier=b", "--no-wait");
  await succeed("wait", "built", "--for", "completed");
  expect(await succeed("logs", "built")).toBe("two C\n");
  expect(await get("built")).toMatchObject({
    labels: { team: "web", tier: "b" },
    spec: { limits: { processes: 64, openFiles: 4096 } },
  });
  expect(await succeed("policy", "get", "built")).toContain("a.example");
  await succeed("template", "rm", "builder");
  expect(await exitCodeOf("create", "none", "--template", "builder")).toBe(3);
  await succeed("rm", "built");
}, 60_000);

it("sandgate quota get shows what there may be, and is", async () => {
  await succeed("create", "counted");
  const [quota] = await suite.json("quota", "get");
  expect(quota?.["quotas"]).toContainEqual({ name: "running_sandboxes", limit: "1000", used: "1" });
  await succeed("rm", "counted");
});
