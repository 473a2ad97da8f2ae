import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ProcessSchema } from "@sandgate/api/sandbox";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OutputLog } from "./output-log.ts";
import { ProcessRecords } from "./process-records.ts";

const idOf = (letter: string) => `prc-${letter.repeat(20)}`;

let directory: string;
let records: ProcessRecords;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "records-"));
  records = new ProcessRecords(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(letter: string, startMs: number): void {
  const process = create(ProcessSchema, { processId: idOf(letter), startTime: timestampFromMs(startMs) });
  records.write({ requestId: letter, requestHash: "", process });
}

describe("the records of processes", () => {
  it("are listed from the oldest on, and found one by one", () => {
    write("b", 2_000);
    write("a", 1_000);
    write("c", 1_500);
    expect(records.list().map(({ requestId }) => requestId)).toEqual(["a", "c", "b"]);
    expect(records.find(idOf("c"))?.requestId).toBe("c");
    expect(records.find(idOf("d"))).toBeUndefined();
    expect(new ProcessRecords(join(directory, "nowhere")).list()).toEqual([]);
  });

  it("go with the output of their process, and output without one goes by itself", () => {
    for (const letter of ["a", "b", "d"])
      new OutputLog({ directory, name: idOf(letter) }).append("stdout", Buffer.from(letter));
    write("a", 1);
    write("b", 2);
    records.remove(idOf("a"));
    records.removeStrays();
    expect(execFileSync("ls", [directory]).toString().trim().split("\n").sort()).toEqual(
      [`${idOf("b")}.0.out`, `${idOf("b")}.json`].sort(),
    );
  });

  it.each<[string, (path: string) => void]>([
    ["a link", (path) => symlinkSync("/etc/passwd", path)],
    ["a pipe", (path) => execFileSync("mkfifo", [path])],
    ["no JSON", (path) => writeFileSync(path, "{")],
    [
      "another's",
      (path) =>
        writeFileSync(path, JSON.stringify({ requestId: "", requestHash: "", process: { processId: idOf("z") } })),
    ],
    ["no record", (path) => writeFileSync(path, "[]")],
    [
      "too large",
      (path) => {
        writeFileSync(path, "");
        truncateSync(path, 1024 ** 3);
      },
    ],
  ])("are passed over where one is %s: whoever wrote it is not trusted", (_, plant) => {
    write("a", 1);
    plant(join(directory, `${idOf("b")}.json`));
    expect(records.list().map(({ requestId }) => requestId)).toEqual(["a"]);
  });

  it.each(["../../etc/passwd", "", "prc-", `${idOf("a")}/..`])("are not looked for by %j", (processId) => {
    expect(records.find(processId)).toBeUndefined();
    expect(() => records.remove(processId)).toThrow(TypeError);
  });
});
