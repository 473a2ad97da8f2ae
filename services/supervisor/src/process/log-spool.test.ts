import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogSpool } from "./log-spool.ts";

describe("the log spool", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "spool-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const files = (): string[] => readdirSync(join(directory, "main"));

  it("is addressed by the output's offset, across files", async () => {
    const spool = await LogSpool.create({ directory, segmentBytes: 4 });
    for (const piece of ["abcd", "ef", "ghij"]) spool.append(Buffer.from(piece));
    expect(files()).toHaveLength(2);
    expect(spool.end).toBe(10);
    expect(spool.read(2, 10).toString()).toBe("cd");
    expect(spool.read(4, 3).toString()).toBe("efg");
    expect(spool.read(10, 10)).toHaveLength(0);
  });

  it("drops files when everything in them is stored, and not before", async () => {
    const spool = await LogSpool.create({ directory, segmentBytes: 4 });
    spool.append(Buffer.from("abcd"));
    spool.append(Buffer.from("efgh"));
    spool.markStored(3);
    expect(files()).toHaveLength(2);
    spool.markStored(4);
    expect(files()).toEqual(["4.log"]);
    expect(spool.read(4, 10).toString()).toBe("efgh");
    spool.markStored(100);
    expect(spool.stored).toBe(8);
    expect(files()).toEqual([]);
  });

  it("begins empty, whatever an earlier incarnation left", async () => {
    (await LogSpool.create({ directory })).append(Buffer.from("old"));
    const spool = await LogSpool.create({ directory });
    expect(spool.end).toBe(0);
    expect(files()).toEqual([]);
  });
});
