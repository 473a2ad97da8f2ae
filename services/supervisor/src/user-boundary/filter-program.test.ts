import { execFile, spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { filterProgram } from "./filter-program.ts";

describe("the program that filters system calls", () => {
  let directory: string;
  let program: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "flt-"));
    program = join(directory, "filtered");
    await writeFile(program, filterProgram(arch()) ?? "");
    await chmod(program, 0o755);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it("becomes another program with its arguments and variables, under the filter", async () => {
    const script = "echo $0 $1 $WORD; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";
    const { stdout } = await promisify(execFile)(program, ["/bin/sh", "-c", script, "name", "one"], {
      env: { PATH: "/bin:/usr/bin", WORD: "word" },
    });
    expect(stdout).toBe("name one word\nNoNewPrivs:\t1\nSeccomp:\t2\n");
  });

  it("has it refused what only administrators need", () => {
    expect(spawnSync(program, ["/usr/bin/unshare", "--user", "true"]).stderr.toString()).toMatch(/not permitted/);
  });

  it("says by its status that it could not", () => {
    expect(spawnSync(program, ["/no/such/program"]).status).toBe(125);
    expect(spawnSync(program, []).status).toBe(125);
  });

  it("is made for the architectures that the filter knows", () => {
    expect(filterProgram("arm64")?.readUInt16LE(18)).toBe(183);
    expect(filterProgram("x64")?.readUInt16LE(18)).toBe(62);
    expect(filterProgram("riscv64")).toBeUndefined();
  });
});
