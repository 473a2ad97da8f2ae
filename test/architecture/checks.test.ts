import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "checks-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function plant(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
}

/** Runs one of the project's tools in the planted folder. */
function run(tool: string, ...args: readonly string[]): { status: number | null; output: string } {
  const path = `${join(root, "node_modules/.bin")}:${process.env.PATH}`;
  const { status, stdout, stderr } = spawnSync(tool, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  return { status, output: `${stdout}${stderr}` };
}

describe("the linter", () => {
  it.each([
    ["noExplicitAny", "export const answer: any = 42;\n"],
    ["noNonNullAssertion", "export const first = (list: string[]) => list[0]!.length;\n"],
    ["useImportType", 'import { Call } from "./call.ts";\n\nexport const name = (call: Call) => call;\n'],
    [
      "noFloatingPromises",
      "export async function send() {\n  await flush();\n}\nexport function close() {\n  send();\n}\n",
    ],
    ["noConsole", 'console.log("here");\n'],
    ["noDefaultExport", "export default 42;\n"],
    ["noEnum", "export enum Color {\n  Red,\n}\n"],
    ["noParameterProperties", "export class Store {\n  constructor(private readonly pool: unknown) {}\n}\n"],
    ["useThrowOnlyError", 'export function fail() {\n  throw "no";\n}\n'],
    ["useNodejsImportProtocol", 'import { join } from "path";\n\nexport const path = join;\n'],
    ["noFocusedTests", 'it.only("works", () => {});\n'],
    ["format", "export const answer = { a : 42 }\n"],
  ])("reports %s", (rule, text) => {
    const { vcs: _, ...configuration } = JSON.parse(readFileSync(join(root, "biome.json"), "utf8")) as { vcs: unknown };
    plant("biome.json", JSON.stringify(configuration));
    plant("services/auth/src/planted.ts", text);
    const { status, output } = run("biome", "check", "--error-on-warnings", "services");
    expect(output).toContain(rule);
    expect(status).toBe(1);
  });
});

describe("the proto checks", () => {
  beforeEach(() => {
    for (const part of ["proto", "buf.yaml"]) cpSync(join(root, part), join(folder, part), { recursive: true });
  });

  const change = (file: string, from: RegExp, to: string) =>
    plant(file, readFileSync(join(folder, file), "utf8").replace(from, to));
  const options = "proto/sandgate/options/v1/options.proto";
  const isCompatible = () =>
    run("sh", "-c", "buf build --path proto/sandgate --output - | buf breaking - --against proto/image.binpb");

  it("accept the contract as it is", () => {
    expect(run("buf", "lint")).toEqual({ status: 0, output: "" });
    expect(isCompatible()).toEqual({ status: 0, output: "" });
  });

  it("report a field that got another number", () => {
    change(options, /string mend = 2;/, "string mend = 3;");
    expect(isCompatible()).toMatchObject({ status: 100, output: expect.stringContaining('"mend"') });
  });

  it("report a message without a comment", () => {
    change(options, /$/, "\nmessage Planted {}\n");
    expect(run("buf", "lint")).toMatchObject({ status: 100, output: expect.stringContaining("Planted") });
  });
});

describe("the search for dead code", () => {
  it("reports unused files, exports and dependencies, and dependencies that no manifest names", () => {
    for (const file of ["knip.json", "tsconfig.json"]) cpSync(join(root, file), join(folder, file));
    plant("package.json", JSON.stringify({ name: "planted", type: "module", workspaces: ["libs/*", "services/*"] }));
    plant("services/auth/package.json", JSON.stringify({ name: "@planted/auth", dependencies: { zod: "4.6.7" } }));
    plant("services/auth/src/main.ts", 'import "jose";\nimport { used } from "./used.ts";\n\nused();\n');
    plant("services/auth/src/used.ts", "export const used = () => 1;\nexport const unusedExport = 2;\n");
    plant("services/auth/src/unused-file.ts", "export const nothing = 0;\n");
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const { status, output } = run("knip", "--no-progress");
    for (const found of ["unused-file.ts", "unusedExport", "zod", "jose"]) expect(output).toContain(found);
    expect(status).toBe(1);
  });
});
