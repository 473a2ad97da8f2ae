import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type OriginServers, startOriginServers } from "../../scripts/demo/origin-servers.ts";
import { type ProxyAnswer, requestThroughProxy } from "../../scripts/demo/proxy-request.ts";
import { askSupervisor } from "../../scripts/demo/supervisor-debug.ts";
import {
  findProcess,
  isRunning,
  type ProcessIdentity,
  processTree,
} from "../../services/cli/src/suite/process-identity.ts";
import { auditHeads, verifyAuditChains } from "./audit-chains.fixture.ts";
import { openTunnel } from "./open-tunnel.fixture.ts";
import { SuiteDirectory } from "./suite-directory.fixture.ts";
import { mountsOf, socketsOf, suiteProcesses } from "./suite-traces.fixture.ts";

const root = resolve(import.meta.dirname, "../..");
const node = "/opt/sandgate/bin/node";
const programs = ["auth", "sandbox", "policy", "egress-proxy", "gateway", "postgres"];
const patience = { timeout: 30_000, interval: 100 };

/** How long a proxy or a service goes on without news from Auth, and a proxy without news from Policy. */
const graceMs = 10_000;
/** A request that is on its way when the grace ends, on a machine that is busy. */
const slackMs = 1_000;
/** How soon a revocation or a new policy cuts what is open (G-15). */
const cutMs = 1_000;

let suite: SuiteDirectory;
let origins: OriginServers;
let authority: string;
let upOptions: readonly string[];
const ids: Record<string, string> = {};

beforeAll(async () => {
  suite = new SuiteDirectory();
  origins = await startOriginServers(["api.example", "vault.example"]);
  authority = await origins.authority();
  upOptions = origins.names.flatMap((name) => [
    ...["--development-origin", `${name}:80=127.0.0.1:${origins.httpPort}`],
    ...["--development-origin", `${name}:443=127.0.0.1:${origins.httpsPort}`],
  ]);
  await up();
  await create("box", "--allow", "api.example", "--", "sh", "-c", "echo begun; exec sleep 3600");
  await create("doomed", "--allow", "api.example");
  await create("broken", "--allow", "api.example");
}, 120_000);
beforeEach(up, 60_000); // also where the case before this one failed half-way
afterAll(async () => {
  await suite.remove();
  await origins.close();
}, 60_000);

async function up(): Promise<void> {
  await suite.json("up", "--separate", ...upOptions);
}

async function create(name: string, ...options: readonly string[]): Promise<void> {
  const [sandbox] = await suite.json("create", name, ...options);
  expect(sandbox).toMatchObject({ phase: "PHASE_READY" });
  ids[name] = String(sandbox?.["id"]);
}

/** kill -9; resolves when it is gone. */
async function kill(...names: readonly string[]): Promise<void> {
  const pids = await suite.pids();
  const processes = names.map((name) => {
    const process = findProcess(pids[name] ?? 0);
    if (process === undefined) throw new Error(`${name} does not run`);
    return process;
  });
  for (const { pid } of processes) process.kill(pid, "SIGKILL");
  await vi.waitFor(() => expect(processes.filter(isRunning)).toEqual([]), patience);
}

/** What the proxy answers to requests from inside a sandbox: "<host> <status> <why>". */
async function ask(sandbox: string, ...hosts: readonly string[]): Promise<readonly string[]> {
  const program = `for (const host of process.argv.slice(1))
    require("node:http").get("http://" + host + "/", (answer) => {
      const { "x-deny-reason": denial, "x-proxy-error": fault } = answer.headers;
      console.log(host, answer.statusCode, denial ?? fault ?? "ok");
      answer.resume();
    });`;
  const words = ["exec", "--no-stdin", sandbox, "--", node, "-e", program, ...hosts];
  const { exitCode, stdout, stderr } = await suite.sandgate(words);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout.trimEnd().split("\n").sort();
}

async function egressToken(sandbox: string): Promise<string> {
  const { exitCode, output } = await askSupervisor({ directory: suite.path, root }, idOf(sandbox), [
    "show-token",
    "--egress",
  ]);
  expect(exitCode).toBe(0);
  return output.trim();
}

function idOf(sandbox: string): string {
  return ids[sandbox] ?? "";
}

function egressSocket(sandbox: string): string {
  return join(suite.path, "run/egress", idOf(sandbox), "egress.sock");
}

/** Asks on a sandbox's own channel with its own token, as its forwarder does, also while nothing can be run in it. */
function present(sandbox: string, token: string, host = "api.example"): Promise<ProxyAnswer> {
  return requestThroughProxy({ socket: egressSocket(sandbox), url: `http://${host}/`, token });
}

async function tunnelFrom(sandbox: string, token: string, host: string) {
  return openTunnel({ egressSocket: egressSocket(sandbox), token, host, authority });
}

async function deniedHosts(sandbox: string): Promise<readonly unknown[]> {
  return (await suite.json("decisions", sandbox, "--denied", "--limit", "1000")).map(({ host }) => host);
}

async function policyRevision(sandbox: string): Promise<string> {
  const [policy] = await suite.json("policy", "get", sandbox);
  return revisionOf(policy);
}

function revisionOf(document: Record<string, unknown> | undefined): string {
  const revision = document?.["revision"] as { revision: string } | undefined; // as `policy get` and `policy set` print it
  return revision?.revision ?? "";
}

/** Asks again and again until the answer is not 200. Answers how long after `since` the last request was sent that was served. */
async function untilNotServed(token: string, since: number): Promise<{ servedMs: number; refusal: ProxyAnswer }> {
  let servedMs = -1;
  const refusal = await vi.waitFor(
    async () => {
      const sentMs = performance.now() - since;
      const answer = await present("box", token);
      if (answer.status === 200) servedMs = sentMs;
      expect(answer.status).not.toBe(200);
      return answer;
    },
    { timeout: 3 * graceMs, interval: 200 },
  );
  return { servedMs, refusal };
}

/** What is open is cut when nothing new is served any more, and not before. */
function expectCutBehindGrace(closedMs: number): void {
  expect(closedMs).toBeGreaterThan(graceMs / 2);
  expect(closedMs).toBeLessThan(graceMs + cutMs + slackMs);
}

describe("a sandbox that lives while a process of the suite is killed and started again", { timeout: 90_000 }, () => {
  it.each(programs)("works as before, and nothing that was acknowledged is lost: %s", async (name) => {
    const before = `before-${name}.example`;
    const [set] = await suite.json("policy", "set", "box", "--allow", "api.example", "--allow", `${name}.example`);
    const revision = revisionOf(set);
    expect(await ask("box", before)).toEqual([`${before} 403 host_not_allowed`]);
    await vi.waitFor(async () => expect(await deniedHosts("box")).toContain(before), patience);
    const heads = await auditHeads(suite.path);

    await kill(name);
    await up();

    expect(await suite.json("get", "box", "--wait")).toMatchObject([
      { id: idOf("box"), phase: "PHASE_READY", incarnation: "1" },
    ]);
    expect(await ask("box", "api.example", `after-${name}.example`)).toEqual([
      `after-${name}.example 403 host_not_allowed`,
      "api.example 200 ok",
    ]);
    expect((await suite.sandgate(["logs", "box"])).stdout).toBe("begun\n");
    expect(await policyRevision("box")).toBe(revision);
    await vi.waitFor(async () => expect(await deniedHosts("box")).toContain(`after-${name}.example`), patience);
    expect(await deniedHosts("box")).toContain(before);
    for (const [service, outcome] of Object.entries(await verifyAuditChains(suite.path, heads)))
      expect(outcome, service).toMatchObject({ kind: "intact" });
  });
});

describe("without news from Auth for longer than 10 s", { timeout: 90_000 }, () => {
  it("nothing is accepted, and everything is again when Auth is back", async () => {
    const token = await egressToken("box");
    const revision = await policyRevision("box");
    const tunnel = await tunnelFrom("box", token, "api.example");
    await kill("auth");
    const [killedAt, killedAtMs] = [performance.now(), Date.now()];
    expect((await present("box", token)).status).toBe(200);

    const { servedMs, refusal } = await untilNotServed(token, killedAt);
    expect(refusal).toMatchObject({ status: 503, headers: { "x-proxy-error": "trust_unavailable" } });
    expect(servedMs).toBeLessThan(graceMs + slackMs);
    expectCutBehindGrace((await tunnel.closed) - killedAtMs);
    await vi.waitUntil(() => performance.now() - killedAt > graceMs + slackMs, patience);

    const attempts = await Promise.all(
      [
        ["get", "box"],
        ["ls"],
        ["create", "late", "--no-wait"],
        ["policy", "get", "box"],
        ["policy", "set", "box", "--allow", "anything.example"],
      ].map(async (words) => [words.join(" "), (await suite.sandgate(words)).exitCode]),
    );
    expect(attempts.filter(([, exitCode]) => exitCode !== 5)).toEqual([]);
    expect((await suite.sandgate(["exec", "--no-stdin", "box", "--", "true"])).exitCode).toBe(125);
    const question = ["get-sandbox-config", "--sandbox-id", idOf("box")];
    const answer = await askSupervisor({ directory: suite.path, root }, idOf("box"), question);
    expect(answer.exitCode, answer.output).toBe(14);

    await up();
    expect((await suite.sandgate(["status"])).exitCode).toBe(0);
    expect((await present("box", token)).status).toBe(200);
    expect(await suite.json("get", "box", "--wait")).toMatchObject([{ phase: "PHASE_READY", incarnation: "1" }]);
    expect(await ask("box", "api.example")).toEqual(["api.example 200 ok"]);
    expect(await policyRevision("box")).toBe(revision);
  });
});

describe("without news from Policy", { timeout: 90_000 }, () => {
  it("the policies that are known count for the grace, then nothing is allowed, and decisions arrive late", async () => {
    const token = await egressToken("box");
    const tunnel = await tunnelFrom("box", token, "api.example");
    await kill("policy");
    const [killedAt, killedAtMs] = [performance.now(), Date.now()];
    expect((await present("box", token)).status).toBe(200);
    expect(await present("box", token, "meanwhile.example")).toMatchObject({
      status: 403,
      headers: { "x-deny-reason": "host_not_allowed" },
    });

    const { servedMs, refusal } = await untilNotServed(token, killedAt);
    expect(refusal).toMatchObject({ status: 503, headers: { "x-proxy-error": "policy_unavailable" } });
    expect(servedMs).toBeLessThan(graceMs + slackMs);
    expect(servedMs).toBeGreaterThan(graceMs / 2);
    expectCutBehindGrace((await tunnel.closed) - killedAtMs);

    await up();
    expect((await present("box", token)).status).toBe(200);
    await vi.waitFor(async () => expect(await deniedHosts("box")).toContain("meanwhile.example"), patience);
  });
});

describe("a new policy", { timeout: 60_000 }, () => {
  it("closes the tunnels that it forbids within 1 s, and no others", async () => {
    await suite.json("policy", "set", "box", "--allow", "api.example", "--allow", "vault.example", "--wait");
    const token = await egressToken("box");
    const forbidden = await tunnelFrom("box", token, "api.example");
    const allowed = await tunnelFrom("box", token, "vault.example");
    const [set] = await suite.json("policy", "set", "box", "--allow", "vault.example", "--wait");
    const { createTime, enforceTime } = {
      ...(set?.["revision"] as { createTime: string }), // as `policy set --wait` prints them
      ...(set?.["enforcement"] as { enforceTime: string }),
    };
    const closedMs = (await forbidden.closed) - Date.parse(createTime);
    expect(closedMs).toBeLessThan(cutMs);
    expect(allowed.closedAt).toBeUndefined();
    allowed.close();
    expect(await ask("box", "api.example", "vault.example")).toEqual([
      "api.example 403 host_not_allowed",
      "vault.example 200 ok",
    ]);
    const enforcedMs = Date.parse(enforceTime) - Date.parse(createTime);
    process.stdout.write(
      `approved to enforced: ${enforcedMs} ms, as seen by the caller ${Math.round(Number(set?.["enforcedMs"]))} ms; tunnel closed after ${closedMs} ms\n`,
    );
  });
});

describe("a sandbox that was revoked (G-15)", { timeout: 90_000 }, () => {
  let token: string;

  it("loses its streams and its tunnels within 1 s", async () => {
    token = await egressToken("doomed");
    const tunnel = await tunnelFrom("doomed", token, "api.example");
    const running = suite.start(["exec", "doomed", "--", "sh", "-c", "echo up; exec sleep 3600"]);
    if (running.stdout === null) throw new Error("no pipe");
    await once(running.stdout, "data");
    const execEnded = once(running, "exit").then(() => Date.now());

    const inside = outerProcesses("doomed");
    expect(inside).not.toEqual([]);
    const [revoked] = await suite.json("revoke", "doomed", "--reason", "test");
    const revokedAt = Date.parse(String(revoked?.["revokeTime"]));
    const tunnelMs = (await tunnel.closed) - revokedAt;
    const execMs = (await execEnded) - revokedAt;
    expect({ tunnelMs, execMs }).toEqual({
      tunnelMs: expect.toSatisfy((ms: number) => ms < cutMs),
      execMs: expect.toSatisfy((ms: number) => ms < cutMs),
    });
    process.stdout.write(`revoked: tunnel closed after ${tunnelMs} ms, exec ended after ${execMs} ms\n`);
    await vi.waitFor(async () => {
      expect(await suite.json("get", "doomed")).toMatchObject([
        { phase: "PHASE_FAILED", failure: { stage: "identity" } },
      ]);
    }, patience);
    await vi.waitFor(() => expect(inside.filter(isRunning)).toEqual([]), patience);
  });

  it("stays refused after every process was started again, and the others go on", async () => {
    await kill(...programs);
    await up();
    expect(await suite.json("get", "box", "--wait")).toMatchObject([{ phase: "PHASE_READY", incarnation: "1" }]);
    expect(await ask("box", "vault.example")).toEqual(["vault.example 200 ok"]);
    expect(await present("doomed", token)).toMatchObject({
      status: 407,
      headers: { "x-deny-reason": "token_revoked" },
    });
    expect((await suite.sandgate(["exec", "--no-stdin", "doomed", "--", "true"])).exitCode).toBe(125);
    expect(await suite.json("get", "doomed")).toMatchObject([{ phase: "PHASE_FAILED" }]);
  });
});

describe("a sandbox that an earlier Sandbox service started, and whose outer processes are killed", {
  timeout: 60_000,
}, () => {
  it("goes on when its keeper is killed; without its init it is FAILED at stage run, and rm removes all of it", async () => {
    const processes = outerProcesses("broken");
    const inits = processes.filter(({ pid }) => isInit(pid));
    const keepers = processes.filter((process) => !inits.includes(process));
    expect([keepers.length, inits.length]).toEqual([1, 1]);
    const inside = processTree(inits[0]?.pid ?? 0).flatMap((pid) => findProcess(pid) ?? []);

    for (const { pid } of keepers) process.kill(pid, "SIGKILL");
    await vi.waitFor(() => expect(keepers.filter(isRunning)).toEqual([]), patience);
    expect(await ask("broken", "api.example")).toEqual(["api.example 200 ok"]);
    for (const { pid } of inits) process.kill(pid, "SIGKILL");
    await vi.waitFor(async () => {
      expect(await suite.json("get", "broken")).toMatchObject([{ phase: "PHASE_FAILED", failure: { stage: "run" } }]);
    }, patience);
    expect((await suite.sandgate(["rm", "broken"])).exitCode).toBe(0);
    expect(inside.filter(isRunning)).toEqual([]);
    for (const place of ["sandboxes", "run/control", "run/egress"])
      expect(existsSync(join(suite.path, place, idOf("broken"))), place).toBe(false);
  });
});

describe("sandgate down", { timeout: 60_000 }, () => {
  it("leaves no process, mount or socket behind", async () => {
    const processes = suiteProcesses(suite);
    expect(processes.length).toBeGreaterThan(programs.length);
    expect(mountsOf(suite.path)).not.toEqual([]);
    expect(await suite.json("down", "--yes")).toMatchObject([{ removed: expect.arrayContaining([idOf("box")]) }]);
    expect(processes.filter(isRunning)).toEqual([]);
    expect(suite.processes()).toEqual([]);
    expect(mountsOf(suite.path)).toEqual([]);
    expect(socketsOf(suite.path)).toEqual([]);
  });
});

/** The processes of bubblewrap around a sandbox: they name it. */
function outerProcesses(sandbox: string): readonly ProcessIdentity[] {
  return suiteProcesses(suite).filter(({ pid }) => commandLineOf(pid).includes(idOf(sandbox)));
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has just ended
  }
}

/** Whether it is pid 1 of a pid namespace right below the machine's own. */
function isInit(pid: number): boolean {
  return /^NSpid:\t\d+\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
