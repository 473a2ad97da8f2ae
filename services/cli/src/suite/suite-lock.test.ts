import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { withSuiteLock } from "./suite-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "suite-lock-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("keeps another process out until the work is done", async () => {
  const lock = join(folder, "lock");
  const attempt = async () => {
    const child = spawn("flock", ["--exclusive", "--nonblock", lock, "true"], { stdio: "ignore" });
    const [code] = await once(child, "exit");
    return code;
  };
  expect(await withSuiteLock(lock, attempt)).toBe(1);
  expect(await attempt()).toBe(0);
});

it("is let go when the work fails", async () => {
  const lock = join(folder, "failing");
  await expect(withSuiteLock(lock, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await withSuiteLock(lock, async () => "again")).toBe("again");
});
