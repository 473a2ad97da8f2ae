import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, expect, it } from "vitest";
import { crashPointMethods, followCrashFiles, withCrashPoints } from "./crash-points.ts";

const directory = mkdtempSync(join(tmpdir(), "crash-points-"));
afterAll(() => rmSync(directory, { recursive: true }));

const files = { recordFile: join(directory, "record"), armFile: join(directory, "arm") };
beforeEach(() => {
  rmSync(files.armFile, { force: true });
  writeFileSync(files.recordFile, "");
});
const record = () => readFileSync(files.recordFile, "utf8").trimEnd().split("\n");

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
  async *exchange(things: AsyncIterable<string>): AsyncGenerator<string> {
    for await (const thing of things) yield `no ${thing}`;
  }
}
const options = {
  harmless: ["look"],
  label: (method: string, args: readonly unknown[]) => (method === "put" ? String(args[0]) : undefined),
};

it("records what is reached before and after every call, once it is armed", async () => {
  const cupboard = withCrashPoints("cupboard", new Cupboard(), followCrashFiles(files), options);
  await cupboard.put("a plate");
  writeFileSync(files.armFile, "");
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

it("records the messages of streams that have a name, both ways, as they are handed on and when they were dealt with", async () => {
  const points: string[] = [];
  const cupboard = withCrashPoints("cupboard", new Cupboard(), (point) => points.push(point), {
    harmless: [],
    message: (_, message) => (String(message).endsWith("dust") ? undefined : String(message)),
  });
  async function* things() {
    yield "dust";
    yield "cup";
  }
  for await (const answer of cupboard.exchange(things())) points.push(`got ${answer}`);
  expect(points).toEqual([
    "cupboard.exchange:before",
    "got no dust",
    "cupboard.exchange(cup):before",
    "cupboard.exchange(no cup):before",
    "got no cup",
    "cupboard.exchange(no cup):after",
    "cupboard.exchange(cup):after",
  ]);
});

it("does not reach the point after a call that failed", async () => {
  writeFileSync(files.armFile, "");
  const stuck = { open: async () => Promise.reject(new Error("stuck")) };
  const failing = withCrashPoints("door", stuck, followCrashFiles(files), { harmless: [] });
  await expect(failing.open()).rejects.toThrow("stuck");
  expect(record()).toEqual(["door.open:before"]);
});

it("names all methods of a class that have points", () => {
  expect(crashPointMethods(Cupboard.prototype, options)).toEqual(["exchange", "put", "shut"]);
});

it("kills the process at the point that was chosen, and not later, and not the one that is started in its place", async () => {
  writeFileSync(files.armFile, "work.second:after");
  const library = fileURLToPath(new URL("./crash-points.ts", import.meta.url));
  const program = `
    import { followCrashFiles, withCrashPoints } from ${JSON.stringify(library)};
    const parts = { first: () => console.log("first"), second: () => console.log("second"), third: () => console.log("third") };
    const work = withCrashPoints("work", parts, followCrashFiles(${JSON.stringify(files)}), { harmless: [] });
    work.first(); work.second(); work.third();`;
  const run = async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const [, signal] = await once(child, "close");
    return [output, signal];
  };
  expect(await run()).toEqual(["first\nsecond\n", "SIGKILL"]);
  expect(record().at(-1)).toBe("work.second:after");
  expect(await run()).toEqual(["first\nsecond\nthird\n", null]);
});
