import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";

const demo = resolve(import.meta.dirname, "../../scripts/demo.ts");

/** What a demo may leave: its directories, and processes that name one. */
function remains(): readonly string[] {
  const directories = readdirSync(tmpdir()).filter((name) => name.startsWith("sandgate-demo-"));
  const processes = readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("/sandgate-demo-");
    } catch {
      return false; // it has just ended
    }
  });
  return [...directories, ...processes];
}

interface Told {
  readonly succeeded: boolean;
  readonly fault?: string;
  readonly steps: readonly { readonly title: string; readonly checks: readonly { claim: string; holds: boolean }[] }[];
}

it("plays the whole story, and every step does what it says", { timeout: 240_000 }, () => {
  const before = remains();
  const { status, stdout, stderr } = spawnSync(process.execPath, [demo, "--json"], { encoding: "utf8" });
  const told: Told = JSON.parse(stdout);
  expect({ status, fault: told.fault, stderr }).toEqual({ status: 0, fault: undefined, stderr: "" });
  expect(told.succeeded).toBe(true);
  expect(told.steps.map(({ title }) => title)).toEqual([
    "A suite of its own starts: database, certificates, services, egress proxy",
    "Two sandboxes, two identities",
    "What alpha's policy allows passes",
    "What it does not name is denied, and the answer says how to ask",
    "Alpha asks for beta's configuration",
    "Alpha's token on beta's channel",
    "The policy changes, and the same request passes",
    "Alpha is revoked",
  ]);
  for (const { title, checks } of told.steps) {
    expect(checks, title).not.toEqual([]);
    expect(
      checks.filter(({ holds }) => !holds),
      title,
    ).toEqual([]);
  }
  const claims = told.steps.flatMap(({ checks }) => checks.map(({ claim }) => claim));
  for (const claim of [
    /^HTTP {2}200/,
    /^HTTPS 200/,
    /^x-deny-reason: host_not_allowed$/,
    /^decision dec-[a-z2-7]{20}$/,
    /^how to ask: /,
    /^the audit log names both$/,
    /403 binding_mismatch$/,
    /^enforced .+ after it was asked for$/,
    /^407 token_revoked$/,
  ])
    expect(claims).toContainEqual(expect.stringMatching(claim));
  expect(remains()).toEqual(before);
});

it("leaves nothing behind when it is interrupted", { timeout: 120_000 }, async () => {
  const before = remains();
  const child = spawn(process.execPath, [demo], { stdio: ["ignore", "pipe", "ignore"] });
  const closed = once(child, "close");
  for await (const line of createInterface({ input: child.stdout })) if (line.includes("Two sandboxes")) break;
  child.kill("SIGINT");
  expect((await closed)[0]).toBe(130);
  expect(remains()).toEqual(before);
});

it("leaves nothing behind when its reader goes away", { timeout: 120_000 }, async () => {
  const before = remains();
  const child = spawn(process.execPath, [demo], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) if (line.includes("Two sandboxes")) break;
  child.stdout.destroy();
  expect((await exited)[0]).not.toBe(0);
  expect(remains()).toEqual(before);
});
