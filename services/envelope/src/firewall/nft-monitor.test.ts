import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { followRules } from "./nft-monitor.ts";

let directory: string;
const following = new Set<{ stop(): Promise<void> }>();
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "nft-monitor-"));
});
afterEach(async () => {
  for (const one of following) await one.stop();
  following.clear();
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Follows a program that says what is written into a file, and counts what it is told. */
function follow() {
  const base = join(directory, crypto.randomUUID());
  writeFileSync(`${base}.lines`, "");
  writeFileSync(`${base}.runs`, "");
  writeFileSync(base, `#!/bin/sh\necho "$$ $*" >> ${base}.runs\nexec tail -n +1 -f ${base}.lines\n`, {
    mode: 0o755,
  });
  let changes = 0;
  const one = followRules({ file: base, table: "sandgate_envelope_a", onChange: () => (changes += 1) });
  following.add(one);
  return {
    say: (line: string) => appendFileSync(`${base}.lines`, `${line}\n`),
    changes: () => changes,
    runs: () => readFileSync(`${base}.runs`, "utf8").trim().split("\n"),
    stop: one.stop,
  };
}

it("is told of the rules of its table, and of events that were lost", async () => {
  const { say, changes, runs } = follow();
  say("add rule inet sandgate_envelope_ab guard accept");
  say("delete rule ip others input handle 3");
  say("# new generation 7 by process 3 (nft)");
  say("delete rule inet sandgate_envelope_a guard handle 4");
  await expect.poll(changes).toBe(1);
  say("# ERROR: We lost some netlink events!");
  await expect.poll(changes).toBe(2);
  expect(runs()).toEqual([expect.stringMatching(/^\d+ monitor rules$/)]);
});

it("is told when it may have missed something, and follows again", async () => {
  const { say, changes, runs } = follow();
  await expect.poll(() => runs()[0]).toMatch(/\d/);
  process.kill(Number(runs()[0]?.split(" ")[0]), "SIGKILL");
  await expect.poll(changes).toBe(1);
  await expect.poll(() => runs().length, { timeout: 5_000 }).toBe(2);
  say("delete rule inet sandgate_envelope_a guard handle 4");
  await expect.poll(changes).toBe(2);
});

it("does not start again when it was stopped", async () => {
  const { changes, runs, stop } = follow();
  await expect.poll(() => runs()[0]).toMatch(/\d/);
  await stop();
  expect(() => process.kill(Number(runs()[0]?.split(" ")[0]), 0)).toThrow("ESRCH");
  expect(changes()).toBe(0);
});
