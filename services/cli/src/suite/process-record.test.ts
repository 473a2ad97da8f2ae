import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, it } from "vitest";
import { endProcess } from "./end-process.ts";
import { findProcess, findProcessesWithArguments, isRunning } from "./process-identity.ts";
import { recordProcess, runningRecords } from "./process-record.ts";

const folder = mkdtempSync(join(tmpdir(), "process-record-"));
const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(folder, { recursive: true }));

async function start(command: string, ...args: readonly string[]) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
  children.push(child);
  await once(child, "spawn");
  return { child, pid: child.pid ?? -1 };
}

it("knows a recorded process while it runs, and not afterwards", async () => {
  const { child, pid } = await start("sleep", "60");
  recordProcess(folder, "one", pid, 0);
  expect(runningRecords(folder)).toMatchObject([{ name: "one", pid, startTime: "1970-01-01T00:00:00.000Z" }]);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(runningRecords(folder)).toEqual([]);
});

it("does not take another process for it that has its pid by now", async () => {
  const { pid } = await start("sleep", "60");
  writeFileSync(join(folder, "two.json"), JSON.stringify({ name: "two", pid, startTicks: "1", startTime: "" }));
  expect(runningRecords(folder)).toEqual([]);
});

it("takes no notice of a torn record", () => {
  writeFileSync(join(folder, "torn.json"), '{"name":"torn","pi');
  expect(runningRecords(folder)).toEqual([]);
});

it("finds a process by its command line when its record was lost", async () => {
  const mark = `mark-${process.pid}`;
  const { pid } = await start("sh", "-c", "echo up; read forever", "--config", mark);
  expect(findProcessesWithArguments(["--config", mark])).toMatchObject([{ pid }]);
  expect(findProcessesWithArguments(["--config", `${mark}-other`])).toEqual([]);
});

it("ends a process that listens to the signal", async () => {
  const { pid } = await start("sleep", "60");
  const identity = findProcess(pid);
  if (identity === undefined) throw new Error("sleep has ended");
  expect(await endProcess(identity, { signal: "SIGTERM", timeoutMs: 5_000 })).toBe("ended");
  expect(isRunning(identity)).toBe(false);
  expect(await endProcess(identity, { signal: "SIGTERM", timeoutMs: 5_000 })).toBe("gone");
});

it("kills one that does not", async () => {
  const { child, pid } = await start("sh", "-c", "trap '' TERM; echo up; while :; do read line; done");
  if (child.stdout !== null) await once(child.stdout, "data");
  const identity = findProcess(pid);
  if (identity === undefined) throw new Error("sh has ended");
  expect(await endProcess(identity, { signal: "SIGTERM", timeoutMs: 50 })).toBe("killed");
});
