import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeptOutput } from "./kept-output.ts";
import { OutputLog } from "./output-log.ts";
import type { OutputReader } from "./output-reader.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "output-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = (segmentBytes?: number) =>
  new OutputLog({ directory, name: "p", ...(segmentBytes !== undefined && { segmentBytes }) });

function rest(reader: OutputReader, maxBytes = 7): string {
  let text = "";
  for (let chunk = reader.next(maxBytes); chunk !== undefined; chunk = reader.next(maxBytes))
    text += `${chunk.offset}${chunk.from === "stdout" ? "o" : "e"}${chunk.data.toString()} `;
  return text.trim();
}

describe("the output of a process", () => {
  it("is addressed by the offset in both streams together, across files", () => {
    const log = open(8);
    log.append("stdout", Buffer.from("abcd"));
    log.append("stderr", Buffer.from("ef"));
    log.append("stdout", Buffer.from("ghij"));
    expect(readdirSync(directory).length).toBeGreaterThan(1);
    expect(rest(log.read(0))).toBe("0oabcd 4eef 6oghij");
    expect(rest(log.read(2), 3)).toBe("2ocd 4eef 6oghi 9oj");
    expect(rest(log.read(10))).toBe("");
    expect(rest(log.read(99))).toBe("");
    const ahead = log.read(12);
    expect(rest(ahead)).toBe("");
    log.append("stdout", Buffer.from("klmn"));
    expect(rest(ahead)).toBe("12omn");
  });

  it("is followed as it is written", () => {
    const log = open(6);
    const reader = log.read(0);
    expect(reader.next(10)).toBeUndefined();
    for (const text of ["a", "bc", "defghi"]) {
      log.append("stdout", Buffer.from(text));
      expect(reader.next(10)?.data.toString()).toBe(text);
      expect(reader.next(10)).toBeUndefined();
    }
  });

  it("says where it goes on when older output was dropped", () => {
    const log = open(6);
    const reader = log.read(0);
    for (const text of ["ab", "cd", "ef"]) log.append("stdout", Buffer.from(text));
    log.dropBefore(3);
    expect(log.start).toBe(2);
    expect(reader.next(10)).toMatchObject({ offset: 2 });
    log.dropOldest();
    log.dropOldest();
    expect(log.start).toBe(6);
    expect(log.sizeBytes).toBe(0);
    expect(reader.next(10)).toBeUndefined();
    log.append("stderr", Buffer.from("gh"));
    expect(reader.next(10)).toMatchObject({ offset: 6, from: "stderr" });
  });

  it("is the same bytes for everybody, wherever he begins and however he is cut", () => {
    const piece = fc.record({
      from: fc.constantFrom("stdout" as const, "stderr" as const),
      data: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    });
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 30 }),
        fc.integer({ min: 1, max: 64 }),
        fc.array(fc.nat(2000), { maxLength: 5 }),
        fc.integer({ min: 1, max: 50 }),
        (pieces, segmentBytes, cuts, maxBytes) => {
          rmSync(directory, { recursive: true });
          directory = mkdtempSync(join(tmpdir(), "output-"));
          const log = open(segmentBytes);
          for (const { from, data } of pieces) log.append(from, data);
          const whole = Buffer.concat(pieces.map(({ data }) => data));
          const kept = KeptOutput.open(directory, "p");
          for (const source of [log, kept]) {
            const read = createHash("sha256");
            let offset = 0;
            for (const cut of [...cuts.map((each) => each % (whole.length + 1)).sort((a, b) => a - b), whole.length]) {
              const reader = source.read(offset);
              while (offset < cut) {
                const chunk = reader.next(Math.min(maxBytes, cut - offset));
                if (chunk === undefined) throw new Error("the output has ended early");
                expect(chunk.offset).toBe(offset);
                read.update(chunk.data);
                offset += chunk.data.length;
              }
            }
            expect(read.digest("hex")).toBe(createHash("sha256").update(whole).digest("hex"));
            expect(source.end).toBe(whole.length);
          }
          kept.close();
          log.remove();
          expect(readdirSync(directory)).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("output whose writer was killed", () => {
  it("is read up to its last whole byte", () => {
    const log = open();
    log.append("stdout", Buffer.from("whole"));
    const [file = ""] = readdirSync(directory);
    appendFileSync(join(directory, file), Buffer.from([1, 9, 0, 0, 0, 0x68, 0x69])); // nine bytes of stderr, of which two came
    const kept = KeptOutput.open(directory, "p");
    expect(kept.end).toBe(7);
    expect(rest(kept.read(0))).toBe("0owhole 5ehi");
    kept.close();
  });

  it("does not lead out of its directory", () => {
    symlinkSync("/etc/passwd", join(directory, "p.0.out"));
    const kept = KeptOutput.open(directory, "p");
    expect(kept.end).toBe(0);
    expect(kept.read(0).next(10)).toBeUndefined();
    kept.close();
  });
});
