import { spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const launcher = "services/cli/bin/sandgate";

describe("the sandgate command", () => {
  let root: string;

  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), "a place ")));
    mkdirSync(join(root, "services/cli/bin"), { recursive: true });
    cpSync(resolve(import.meta.dirname, "..", launcher), join(root, launcher));
    mkdirSync(join(root, "node_modules/.bin"), { recursive: true });
    symlinkSync(process.execPath, join(root, "node_modules/.bin/node"));
    symlinkSync(`../../${launcher}`, join(root, "node_modules/.bin/sandgate"));
    mkdirSync(join(root, "dist"));
    writeFileSync(
      join(root, "dist/sandgate.mjs"),
      "console.log(JSON.stringify([process.version, process.argv.slice(2)])); process.exit(7);",
    );
  });

  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const run = (path: string) => spawnSync(join(root, path), ["run", "--", "a b", "*"], { cwd: "/", encoding: "utf8" });

  it.each([launcher, "node_modules/.bin/sandgate"])(
    "runs as %s with the project's Node, its words as they are and its exit code",
    (path) => {
      const { stdout, status } = run(path);
      expect(JSON.parse(stdout)).toEqual([process.version, ["run", "--", "a b", "*"]]);
      expect(status).toBe(7);
    },
  );

  it("keeps compiled code beside bundles of one's own, and uses none that somebody else may have written", () => {
    writeFileSync(join(root, "dist/sandgate.mjs"), "console.log(process.env.NODE_COMPILE_CACHE)");
    const compileCache = () =>
      spawnSync(join(root, launcher), { encoding: "utf8", env: { ...process.env, NODE_COMPILE_CACHE: "/elsewhere" } })
        .stdout;
    expect(compileCache()).toBe(`${root}/dist/compile-cache\n`);
    if (process.getuid?.() !== 0) return;
    chownSync(join(root, "dist"), 65_534, 65_534);
    expect(compileCache()).toBe("undefined\n");
  });

  it("says how to build what is missing", () => {
    rmSync(join(root, "dist"), { recursive: true });
    const { stderr, status } = run(launcher);
    expect(stderr).toBe(`sandgate: ${root}/dist/sandgate.mjs is missing: make it with \`npm run build\` in ${root}\n`);
    expect(status).toBe(2);
  });
});
