import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, expect, it } from "vitest";
import { crashPointMethods, withCrashPoints } from "./crash-points.ts";

const directory = mkdtempSync(join(tmpdir(), "crash-points-"));
afterAll(() => rmSync(directory, { recursive: true }));

const plan = { recordFile: join(directory, "record"), armFile: join(directory, "arm") };
beforeEach(() => {
  rmSync(plan.armFile, { force: true });
  writeFileSync(plan.recordFile, "");
});
const record = () => readFileSync(plan.recordFile, "utf8").trimEnd().split("\n");

class Cupboard {
  readonly #things: string[] = [];
  async put(thing: string): Promise<number> {
    return this.#things.push(thing);
  }
  async look(): Promise<readonly string[]> {
    return this.#things;
  }
  shut(): string {
    return "shut";
  }
}
const options = {
  harmless: ["look"],
  label: (method: string, args: readonly unknown[]) => (method === "put" ? String(args[0]) : undefined),
};

it("records what is reached before and after every call, once it is armed", async () => {
  const cupboard = withCrashPoints("cupboard", new Cupboard(), plan, options);
  await cupboard.put("a plate");
  writeFileSync(plan.armFile, "");
  expect(await cupboard.put("a cup")).toBe(2);
  expect(await cupboard.look()).toEqual(["a plate", "a cup"]);
  expect(cupboard.shut()).toBe("shut");
  expect(record()).toEqual([
    "cupboard.put(a cup):before",
    "cupboard.put(a cup):after",
    "cupboard.shut:before",
    "cupboard.shut:after",
  ]);
});

it("does not reach the point after a call that failed", async () => {
  writeFileSync(plan.armFile, "");
  const failing = withCrashPoints("door", { open: async () => Promise.reject(new Error("stuck")) }, plan, {
    harmless: [],
  });
  await expect(failing.open()).rejects.toThrow("stuck");
  expect(record()).toEqual(["door.open:before"]);
});

it("names all methods of a class that have points", () => {
  expect(crashPointMethods(Cupboard.prototype, options)).toEqual(["put", "shut"]);
});

it("kills the process at the point that was chosen, and not later", async () => {
  writeFileSync(plan.armFile, "");
  const library = fileURLToPath(new URL("./crash-points.ts", import.meta.url));
  const program = `
    import { withCrashPoints } from ${JSON.stringify(library)};
    const plan = { ...${JSON.stringify(plan)}, killAt: "work.second:after" };
    const work = withCrashPoints("work", { first: () => console.log("first"), second: () => console.log("second"), third: () => console.log("third") }, plan, { harmless: [] });
    work.first(); work.second(); work.third();`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [, signal] = await once(child, "close");
  expect([output, signal]).toEqual(["first\nsecond\n", "SIGKILL"]);
  expect(record().at(-1)).toBe("work.second:after");
});
