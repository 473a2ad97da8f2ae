import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type OriginServers, startOriginServers } from "../../scripts/demo/origin-servers.ts";
import { requestThroughProxy } from "../../scripts/demo/proxy-request.ts";
import { askSupervisor } from "../../scripts/demo/supervisor-debug.ts";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

const root = resolve(import.meta.dirname, "../..");
const node = "/opt/sandgate/bin/node";

let suite: SuiteDirectory;
let origins: OriginServers;
let sandboxId: string;

beforeAll(async () => {
  suite = new SuiteDirectory();
  origins = await startOriginServers(["api.example"]);
  await suite.json("up", "--separate", "--development-origin", `api.example:80=127.0.0.1:${origins.httpPort}`);
  const [sandbox] = await suite.json("create", "box", "--allow", "api.example");
  expect(sandbox).toMatchObject({ phase: "PHASE_READY" });
  sandboxId = String(sandbox?.["id"]);
}, 120_000);
afterAll(async () => {
  await suite.remove();
  await origins.close();
}, 60_000);

interface Key {
  readonly kid: string;
  readonly algorithm: string;
  readonly state: string;
}

async function keys(...options: readonly string[]): Promise<readonly Key[]> {
  const [listed] = await suite.json("keys", "ls", ...options);
  return listed?.["keys"] as readonly Key[]; // as `keys ls` prints them
}

async function held(...which: readonly string[]): Promise<{ readonly token: string; readonly kid: string }> {
  const { exitCode, output } = await askSupervisor({ directory: suite.path, root }, sandboxId, [
    "show-token",
    ...which,
  ]);
  expect(exitCode).toBe(0);
  const token = output.trim();
  return { token, kid: JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid };
}

/** The status that a program in the sandbox gets from the allowed host. */
async function ask(): Promise<string> {
  const program = `require("node:http").get("http://api.example/", (answer) => { console.log(answer.statusCode); answer.resume(); })`;
  const words = ["exec", "--no-stdin", "box", "--", node, "-e", program];
  const { exitCode, stdout, stderr } = await suite.sandgate(words);
  return exitCode === 0 ? stdout.trim() : stderr;
}

const present = async (token: string): Promise<number> => {
  const socket = join(suite.path, "run/egress", sandboxId, "egress.sock");
  return (await requestThroughProxy({ socket, url: "http://api.example/", token })).status;
};

describe("the signing keys of a running suite", () => {
  it("G-08 are changed by `sandgate keys rotate`, and nobody notices", async () => {
    const before = await held("--egress");
    const [rotation] = await suite.json("keys", "rotate");
    expect(rotation).toMatchObject({ rotated: true });
    const published = await keys();
    for (const algorithm of new Set(published.map((key) => key.algorithm))) {
      const states = published.filter((key) => key.algorithm === algorithm).map(({ state }) => state);
      expect(states.sort()).toEqual(["CURRENT", "NEXT", "PREVIOUS"].map((state) => `SIGNING_KEY_STATE_${state}`));
    }
    expect(await present(before.token)).toBe(200);
    expect(await ask()).toBe("200");
    const { exitCode } = await askSupervisor({ directory: suite.path, root }, sandboxId, ["refresh"]);
    expect(exitCode).toBe(0);
    expect((await keys()).find(({ kid, state }) => state.endsWith("CURRENT") && kid.length > 0)).toBeDefined();
    const { kid } = await held();
    expect((await keys()).find((key) => key.kid === kid)?.state).toBe("SIGNING_KEY_STATE_CURRENT");
  });

  it("G-15 refuse what one of them signed within a second of `sandgate keys revoke`; the living sandbox goes on by itself", async () => {
    const [session, egress] = [await held(), await held("--egress")];
    const revokedAt = performance.now();
    await suite.json("keys", "revoke", egress.kid, "--reason", "somebody may know it");
    await suite.json("keys", "revoke", session.kid, "--reason", "somebody may know it");
    const answeredAt = performance.now();
    expect(await present(egress.token)).toBe(407);
    expect(performance.now() - answeredAt).toBeLessThan(1_000);
    expect(answeredAt).toBeGreaterThan(revokedAt);

    // told by the control plane, the supervisor finds its session refused and proves its key
    await vi.waitFor(async () => expect((await held()).kid).not.toBe(session.kid), { timeout: 10_000, interval: 50 });
    // the first request after it is the one that finds the egress token refused
    expect(await ask()).toBe("200");
    expect((await held("--egress")).kid).not.toBe(egress.kid);
    const [sandbox] = await suite.json("get", "box");
    expect(sandbox).toMatchObject({ phase: "PHASE_READY", incarnation: "1" });
    expect((await keys("--all")).filter(({ state }) => state === "SIGNING_KEY_STATE_REVOKED")).toHaveLength(2);
    const events = await suite.json("audit", "--action", "signing_key.revoked");
    expect(events.map((event) => (event["details"] as Record<string, string>)["kid"])).toEqual([
      egress.kid,
      session.kid,
    ]);
  });

  it("G-30 are not known by another id: exit code 3", async () => {
    expect(await suite.sandgate(["keys", "revoke", "nobody's"])).toMatchObject({ exitCode: 3 });
  });
});
