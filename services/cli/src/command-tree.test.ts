import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "command-tree-"));
afterAll(() => rmSync(folder, { recursive: true }));

function sandgate(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, "main.ts"), ...words], {
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin", HOME: folder, SANDGATE_DIRECTORY: join(folder, "suite") },
  });
  return { status, stdout, stderr };
}

describe("the command line", () => {
  it.each([
    ["a command that there is not", ["nope"], 2],
    ["an option that there is not", ["ls", "--nope"], 2],
    ["an argument too few", ["get"], 2],
    ["an update of nothing", ["update", "box"], 2],
    ["an idle action that there is not", ["update", "box", "--idle-action", "sleep"], 2],
    ["a phase that nobody can wait for", ["wait", "box", "--for", "STARTING"], 2],
    ["a wait where no suite runs", ["wait", "box"], 5],
    ["a phase that there is not", ["ls", "--phase", "ASLEEP"], 2],
    ["a label that is none", ["ls", "--label", "team"], 2],
    ["phases to list in two ways", ["ls", "--all", "--phase", "ready"], 2],
    ["a number that is none", ["logs", "box", "--offset", "x"], 2],
    ["run without a command", ["run"], 125],
    ["a shell that is not known", ["completion", "csh"], 2],
    ["a suite that does not run", ["ls"], 5],
    ["exec where no suite runs", ["exec", "box", "true"], 125],
    ["a policy file that is not there", ["policy", "lint", "/nowhere"], 2],
    ["a token that is none", ["token", "inspect", "--file", join(import.meta.dirname, "version.ts")], 1],
    ["a token file that is not there", ["token", "inspect", "--file", "/nowhere"], 2],
    ["sessions to revoke in two ways", ["session", "revoke", "--all", "--user", "x"], 2],
    ["sessions to revoke in no way", ["session", "revoke"], 2],
    ["help", ["help"], 0],
    ["the help of a command", ["run", "--help"], 0],
    ["the version", ["--version"], 0],
  ])("answers %s", (_, words, status) => {
    expect(sandgate(...words).status).toBe(status);
  });

  it("says what is wrong and what to do, as JSON where that was asked for", () => {
    const { stdout, stderr } = sandgate("ls", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ error: { exitCode: 5, mend: "start one with `sandgate up`" } });
    expect(stderr).toBe("");
  });

  it("lints policies without a suite", () => {
    const file = join(folder, "policy.yaml");
    writeFileSync(file, "rules: [example.com, '*.com']\n");
    const { status, stdout } = sandgate("policy", "lint", file);
    expect(status).toBe(2);
    expect(stdout).toContain("public suffix");
  });

  it("S0-03 inspects a token without a suite, and prints no signature", () => {
    const file = join(folder, "token");
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    writeFileSync(file, `${part({ typ: "JWT", alg: "ES256" })}.${part({ exp: 1_772_366_400 })}.c2lnbmF0dXJl\n`);
    const { status, stdout } = sandgate("token", "inspect", "--file", file);
    expect(status).toBe(0);
    expect(stdout).toContain("2026-03-01T12:00:00.000Z");
    expect(stdout).not.toContain("c2lnbmF0dXJl");
    expect(JSON.parse(sandgate("token", "inspect", "--json", "--file", file).stdout)).toEqual({
      header: { typ: "JWT", alg: "ES256" },
      claims: { exp: 1_772_366_400 },
      verified: false,
    });
  });

  it("takes the secret of a provider from no argument", () => {
    const { status, stderr } = sandgate("provider", "create", "models", "sk-secret", "-e", "api.example.com");
    expect([status, stderr.includes("too many arguments")]).toEqual([2, true]);
    expect(sandgate("provider", "create", "--help").stdout).not.toMatch(/--secret|--value/);
    expect(sandgate("provider", "create", "models", "-e", "ftp://x").status).toBe(2);
  });

  it("shows the exit codes", () => {
    expect(sandgate("help", "exit-codes").stdout).toContain("125");
  });

  it.each(["bash", "zsh"])("writes a completion that %s's syntax check takes", (shell) => {
    const { stdout } = sandgate("completion", shell);
    expect(stdout).toContain("policy set");
    expect(spawnSync("bash", ["-n"], { input: stdout }).status).toBe(0);
  });

  it("completes commands, subcommands and options in bash", () => {
    const { stdout } = sandgate("completion", "bash");
    const complete = (...words: readonly string[]) =>
      spawnSync(
        "bash",
        [
          "-c",
          `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _sandgate; echo "\${COMPREPLY[@]}"`,
        ],
        { encoding: "utf8" },
      ).stdout.trim();
    expect(complete("sandgate", "dec")).toBe("decisions");
    expect(complete("sandgate", "policy", "l")).toBe("lint");
    expect(complete("sandgate", "provider", "ro")).toBe("rotate");
    expect(complete("sandgate", "provider", "create", "--base")).toBe("--base-url-env");
    expect(complete("sandgate", "run", "--al")).toBe("--allow");
  });
});
