import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createArchiveTools } from "./archive-tools.ts";

const { pack, createUnpacker } = createArchiveTools();
let directory: string;
let from: string;
let to: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "archive-"));
  [from, to] = [join(directory, "from"), join(directory, "to")];
  mkdirSync(from);
  mkdirSync(to);
});
afterEach(() => rmSync(directory, { recursive: true }));

function packed(): Buffer {
  return Buffer.concat([...pack(from)]);
}

function unpack(archive: Buffer, options: { pieceBytes?: number; linksInside?: boolean } = {}) {
  const unpacker = createUnpacker(to, { linksInside: options.linksInside ?? true });
  const step = options.pieceBytes ?? archive.length;
  for (let at = 0; at < archive.length; at += step) unpacker.write(archive.subarray(at, at + step));
  return unpacker.end();
}

/** One header, as anybody may write it, with its data. */
function entry(name: string, type: string, options: { link?: string; data?: string } = {}): Buffer {
  const { link = "", data = "" } = options;
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write("0000777\0", 100);
  block.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(type, 156);
  block.write(link, 157);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([block, Buffer.from(data), Buffer.alloc((512 - (data.length % 512)) % 512)]);
}
const archiveOf = (...entries: Buffer[]) => Buffer.concat([...entries, Buffer.alloc(1024)]);

describe("an archive", () => {
  it("brings files, directories, links, modes and times, in pieces of any size", () => {
    mkdirSync(join(from, "sub/empty"), { recursive: true });
    writeFileSync(join(from, "run.sh"), "echo hi\n", { mode: 0o755 });
    writeFileSync(join(from, "sub/zero"), "");
    writeFileSync(join(from, `sub/${"long-".repeat(40)}ü`), "long");
    writeFileSync(join(from, "sub/exact"), "x".repeat(512));
    symlinkSync("sub/zero", join(from, "link"));
    chmodSync(join(from, "sub"), 0o500);
    const archive = packed();
    expect(unpack(archive, { pieceBytes: 77 })).toEqual({ entries: 7, skipped: 0 });
    expect(execFileSync("diff", ["-r", from, to]).toString()).toBe("");
    expect(statSync(join(to, "run.sh")).mode & 0o777).toBe(0o755);
    expect(statSync(join(to, "sub")).mode & 0o777).toBe(0o500);
    expect(Math.floor(statSync(join(to, "run.sh")).mtimeMs / 1000)).toBe(
      Math.floor(statSync(join(from, "run.sh")).mtimeMs / 1000),
    );
    expect(readlinkSync(join(to, "link"))).toBe("sub/zero");
  });

  it("is one that tar reads, and reads what tar writes", () => {
    writeFileSync(join(from, "a"), "a".repeat(3_000));
    writeFileSync(join(from, `${"n".repeat(200)}é`), "long name");
    execFileSync("tar", ["-x", "-C", to], { input: packed() });
    expect(execFileSync("diff", ["-r", from, to]).toString()).toBe("");
    for (const format of ["gnu", "pax", "ustar"]) {
      rmSync(to, { recursive: true });
      mkdirSync(to);
      if (format === "ustar") rmSync(join(from, `${"n".repeat(200)}é`));
      unpack(execFileSync("tar", ["-c", `--format=${format}`, "-C", from, "."]));
      expect(execFileSync("diff", ["-r", from, to]).toString()).toBe("");
    }
  });

  it("brings any bytes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 700 }),
        (files, pieceBytes) => {
          for (const path of [from, to]) {
            rmSync(path, { recursive: true });
            mkdirSync(path);
          }
          for (const [index, data] of files.entries()) writeFileSync(join(from, String(index)), data);
          unpack(packed(), { pieceBytes });
          for (const [index, data] of files.entries())
            expect(readFileSync(join(to, String(index))).equals(Buffer.from(data))).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("leaves out what is no file, directory or link", () => {
    execFileSync("mkfifo", [join(from, "pipe")]);
    const archive = pack(from);
    let last = archive.next();
    while (last.done !== true) last = archive.next();
    expect(last.value).toEqual({ entries: 0, skipped: 1 });
  });

  it("is as long as it says where a file becomes shorter meanwhile", () => {
    writeFileSync(join(from, "log"), "x".repeat(300_000));
    const pieces: Buffer[] = [];
    for (const piece of pack(from)) {
      pieces.push(piece);
      writeFileSync(join(from, "log"), "short");
    }
    expect(unpack(Buffer.concat(pieces))).toEqual({ entries: 1, skipped: 0 });
    expect(statSync(join(to, "log")).size).toBe(300_000);
  });
});

describe("D-27: a hostile archive", () => {
  it.each<[string, Buffer[]]>([
    ["a name that goes up", [entry("../evil", "0", { data: "x" })]],
    ["a name that goes up in the middle", [entry("a/../../evil", "0", { data: "x" })]],
    ["an absolute name", [entry("/tmp/sandgate-evil", "0", { data: "x" })]],
    ["a directory outside", [entry("../evil/", "5")]],
    ["a file behind its own link", [entry("l", "2", { link: "." }), entry("l/evil", "0", { data: "x" })]],
    ["a directory behind its own link", [entry("l", "2", { link: "." }), entry("l/evil/", "5")]],
    ["a file in the place of a directory", [entry("d/", "5"), entry("d", "0", { data: "x" })]],
    ["a link in the place of a directory", [entry("d/", "5"), entry("d", "2", { link: "." })]],
    [
      "a name in an extended header",
      [entry("x", "x", { data: "19 path=../../evil\n" }), entry("y", "0", { data: "x" })],
    ],
    ["a name in GNU's long header", [entry("x", "L", { data: "../evil\0" }), entry("y", "0", { data: "x" })]],
    ["no name", [entry("./", "0", { data: "x" })]],
    ["a checksum that is wrong", [Buffer.alloc(512, "x")]],
    ["a size that is no number", [Buffer.from(entry("a", "x", { data: "11 size=zz\n" }))]],
    ["a record without an end", [entry("a", "x", { data: "99 path=a\n" })]],
  ])("is refused: %s", (_, entries) => {
    expect(() => unpack(archiveOf(...entries))).toThrow(expect.objectContaining({ code: "EARCHIVE" }));
    expect(readdirSync(directory).sort()).toEqual(["from", "to"]);
    expect(existsSync("/tmp/sandgate-evil")).toBe(false);
  });

  it("does not write through a link that was there before", () => {
    writeFileSync(join(directory, "outside"), "safe");
    symlinkSync("../outside", join(to, "a"));
    symlinkSync("..", join(to, "up"));
    unpack(archiveOf(entry("a", "0", { data: "new" })));
    expect(readFileSync(join(directory, "outside"), "utf8")).toBe("safe");
    expect(lstatSync(join(to, "a")).isFile()).toBe(true);
    expect(() => unpack(archiveOf(entry("up/evil", "0", { data: "x" })))).toThrow("leads through");
  });

  it.each([
    ["/etc/passwd", 0],
    ["..", 0],
    ["a/../..", 0],
    ["d/up/..", 0],
    ["a", 1],
    ["./a/b", 1],
    ["", 0],
  ])("has its link to %j kept: %i", (link, entries) => {
    expect(unpack(archiveOf(entry("l", "2", { link })))).toEqual({ entries, skipped: 1 - entries });
  });

  it("keeps links that go up within it, and any link where that is asked for", () => {
    expect(unpack(archiveOf(entry("d/l", "2", { link: "../a" }), entry("d/m", "2", { link: "../../a" })))).toEqual({
      entries: 1,
      skipped: 1,
    });
    expect(unpack(archiveOf(entry("d/m", "2", { link: "/etc" })), { linksInside: false }).entries).toBe(1);
  });

  it("gets no more than plain permission bits, and no device or hard link", () => {
    const strong = entry("s", "0", { data: "x" });
    expect(unpack(archiveOf(entry("h", "1", { link: "s" }), entry("c", "3"), strong))).toEqual({
      entries: 1,
      skipped: 2,
    });
    expect(statSync(join(to, "s")).mode & 0o7777).toBe(0o777);
  });

  it("is refused where it is not whole", () => {
    writeFileSync(join(from, "a"), "a".repeat(2_000));
    const archive = packed();
    for (const length of [0, 100, 600, archive.length - 1024])
      expect(() => unpack(archive.subarray(0, length))).toThrow("not whole");
  });
});
