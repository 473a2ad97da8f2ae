import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildPrograms } from "./build.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "build-"));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

const run = (file: string) => execFileSync(process.execPath, [join(root, file)], { encoding: "utf8", cwd: "/" });

describe("a program that names files that ship with it", () => {
  beforeEach(() => {
    write("services/auth/migrations/0001_create_users.sql", "create table users ();");
    write(
      "services/auth/src/main.ts",
      `import { readFileSync, readdirSync } from "node:fs";
       const folder: URL = new URL("../migrations/", import.meta.url);
       for (const name of readdirSync(folder)) console.log(name, readFileSync(new URL(name, folder), "utf8"));`,
    );
  });

  it("finds them in source form and bundled", async () => {
    expect(await buildPrograms(root)).toEqual({ built: ["auth"], failed: [] });
    expect(run("services/auth/src/main.ts")).toBe("0001_create_users.sql create table users ();\n");
    expect(run("dist/auth.mjs")).toBe(run("services/auth/src/main.ts"));
  });

  it("finds them bundled where there is nothing but dist", async () => {
    await buildPrograms(root);
    rmSync(join(root, "services"), { recursive: true });
    expect(run("dist/auth.mjs")).toContain("0001_create_users.sql");
  });

  it("is not built when one of them does not exist", async () => {
    rmSync(join(root, "services/auth/migrations"), { recursive: true });
    expect(await buildPrograms(root)).toEqual({ built: [], failed: ["auth"] });
    expect(existsSync(join(root, "dist/auth.mjs"))).toBe(false);
  });

  it("loses a file in dist that is gone from the source", async () => {
    await buildPrograms(root);
    rmSync(join(root, "services/auth/migrations/0001_create_users.sql"));
    write("services/auth/migrations/0001_create_organizations.sql", "create table organizations ();");
    await buildPrograms(root);
    expect(run("dist/auth.mjs")).toBe("0001_create_organizations.sql create table organizations ();\n");
  });
});

describe("the build", () => {
  it("builds what can be built and leaves the last bundle of what cannot", async () => {
    write("services/auth/src/main.ts", 'console.log("first");');
    await buildPrograms(root);
    write("services/auth/src/main.ts", 'import "./missing.ts";');
    write("services/policy/src/main.ts", 'console.log("policy");');
    expect(await buildPrograms(root)).toEqual({ built: ["policy"], failed: ["auth"] });
    expect(run("dist/auth.mjs")).toBe("first\n");
    expect(run("dist/policy.mjs")).toBe("policy\n");
  });

  it("lets a program name another program's bundle", async () => {
    write("services/supervisor/src/main.ts", 'console.log("supervisor");');
    write(
      "services/sandbox/src/driver/bundle.ts",
      'export const bundle: URL = new URL("../../../../dist/supervisor.mjs", import.meta.url);',
    );
    write(
      "services/sandbox/src/main.ts",
      'import { bundle } from "./driver/bundle.ts";\nconsole.log(bundle.pathname);',
    );
    await buildPrograms(root);
    expect(run("services/sandbox/src/main.ts")).toBe(`${root}/dist/supervisor.mjs\n`);
    expect(run("dist/sandbox.mjs")).toBe(`${root}/dist/supervisor.mjs\n`);
  });

  it("brings the terminal's native module", async () => {
    symlinkSync(resolve(import.meta.dirname, "../node_modules"), join(root, "node_modules"));
    write(
      "services/supervisor/src/main.ts",
      `import { spawn } from "@lydell/node-pty";
       spawn("/bin/echo", ["from a terminal"], {}).onData((text: string) => process.stdout.write(text));`,
    );
    await buildPrograms(root);
    rmSync(join(root, "node_modules"));
    expect(run("dist/supervisor.mjs")).toContain("from a terminal");
  });

  it("leaves a file alone that has not changed", async () => {
    write("services/auth/src/main.ts", "console.log(1);");
    await buildPrograms(root);
    const before = statSync(join(root, "dist/auth.mjs"), { bigint: true });
    await buildPrograms(root);
    expect(statSync(join(root, "dist/auth.mjs"), { bigint: true })).toMatchObject({
      ino: before.ino,
      mtimeNs: before.mtimeNs,
    });
  });

  it("maps the bundle to its source without repeating it", async () => {
    write("services/auth/src/main.ts", "const answer: number = 42;\nconsole.log(answer);");
    await buildPrograms(root);
    const map: unknown = JSON.parse(readFileSync(join(root, "dist/auth.mjs.map"), "utf8"));
    expect(map).toMatchObject({ sources: ["../services/auth/src/main.ts"] });
    expect(map).not.toHaveProperty("sourcesContent");
  });
});
