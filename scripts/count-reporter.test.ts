import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");

describe("the counts of a run", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "counts-"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const files = {
      "vitest.config.ts": 'export default { test: { name: "planted" } };',
      "results.test.ts": `import { it } from "vitest";
        it("passes", () => {});
        it("passes too", () => {});
        it("fails", () => { throw new Error("no"); });
        it("cannot run here", ({ skip }) => skip("this kernel has no memory controller"));
        it("could run here", ({ skip }) => skip("swtpm is missing"));`,
      "broken.test.ts": 'throw new Error("cannot be loaded");',
      "hook.test.ts": `import { beforeAll, describe, it } from "vitest";
        describe("a suite", () => { beforeAll(() => { throw new Error("no"); }); it("never runs", () => {}); });`,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(file: string, environment: { CI?: string }): { counts: string; output: string; status: number | null } {
    const counts = join(folder, `${file}.${environment.CI ?? "here"}.txt`);
    const { CI: _, ...rest } = process.env;
    const { stdout, stderr, status } = spawnSync(
      join(root, "node_modules/.bin/vitest"),
      ["run", "--root", folder, "--reporter", join(root, "scripts/count-reporter.ts"), file],
      { encoding: "utf8", env: { ...rest, ...environment, TEST_COUNTS_FILE: counts } },
    );
    return { counts: readFileSync(counts, "utf8"), output: `${stdout}${stderr}`, status };
  }

  it("say how many passed, failed and were skipped, with the reason for each skip", () => {
    const { counts, output } = run("results.test.ts", {});
    expect(counts).toBe("2 1 2\n");
    expect(output).toContain("skipped planted results.test.ts > cannot run here: this kernel has no memory controller");
    expect(output).toContain("skipped planted results.test.ts > could run here: swtpm is missing");
  });

  it("hold a skip against CI unless the kernel is its reason", () => {
    const { counts, output } = run("results.test.ts", { CI: "true" });
    expect(counts).toBe("2 2 1\n");
    expect(output).toContain("REFUSED SKIP planted results.test.ts > could run here: swtpm is missing");
  });

  it("count a file that cannot be loaded as failed", () => {
    expect(run("broken.test.ts", {})).toMatchObject({ counts: "0 1 0\n", status: 1 });
  });

  it("count a hook that fails as failed, and the tests it kept from running as skipped", () => {
    expect(run("hook.test.ts", {})).toMatchObject({ counts: "0 1 1\n", status: 1 });
  });
});
