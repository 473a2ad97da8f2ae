import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { type CommandOutcome, runCommand } from "./run-command.ts";

/** A language that clients are generated for. */
export interface Language {
  readonly name: "Python" | "Go";
  /** Its programs, beside this file. */
  readonly folder: string;
  /** Exits with 0 where the language can be used. */
  readonly probe: readonly string[];
  /** What a machine needs that fails the probe. */
  readonly missing: string;
  /** What makes programs of the sources, after the README's lines. */
  readonly build: string;
  readonly tour: readonly string[];
  readonly attack: readonly string[];
}

export const languages: readonly Language[] = [
  {
    name: "Python",
    folder: "python",
    probe: ["python3", "-c", "import ensurepip, venv"],
    missing: "python3 with venv is not on this machine: install the package python3-venv",
    build: "true",
    tour: [".venv/bin/python", "tour.py"],
    attack: [".venv/bin/python", "attack.py"],
  },
  {
    name: "Go",
    folder: "go",
    probe: ["go", "version"],
    missing: "Go is not on this machine: install the package golang-go",
    build: "go build -o bin/ ./...",
    tour: ["bin/tour"],
    attack: ["bin/attack"],
  },
];

/** A copy of what a language's lines in the README need, so that nothing is written into the checkout. */
export interface Workspace {
  /** Where the programs are. */
  readonly directory: string;
  /** Runs shell lines as somebody would who has just cloned the repository. */
  run(lines: readonly string[], environment?: Readonly<Record<string, string>>): Promise<CommandOutcome>;
  remove(): Promise<void>;
}

const root = resolve(import.meta.dirname, "../..");
const patienceMs = 280_000; // the first build of Go compiles all of gRPC

/** Whether the language can be used here. */
export async function isInstalled({ probe: [command = "", ...words] }: Language): Promise<boolean> {
  return runCommand(command, words).then(
    ({ exitCode }) => exitCode === 0,
    () => false,
  );
}

export async function createWorkspace(language: Language): Promise<Workspace> {
  const copy = await mkdtemp(join(tmpdir(), `sg-${language.folder}-`));
  const programs = join("test/interop", language.folder);
  await mkdir(join(copy, programs), { recursive: true });
  for (const part of ["buf.yaml", "proto"]) await cp(join(root, part), join(copy, part), { recursive: true });
  const isSource = (path: string): boolean => !generated.includes(basename(path));
  await cp(join(root, programs), join(copy, programs), { recursive: true, filter: isSource });
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  return {
    directory: join(copy, programs),
    run: (lines, environment = {}) =>
      runCommand("bash", ["-euo", "pipefail", "-c", lines.join("\n")], { directory: copy, environment, patienceMs }),
    remove: () => rm(copy, { recursive: true, force: true }),
  };
}

/** What the lines of the README make, where somebody has run them in the checkout. */
const generated = [".venv", "__pycache__", "sandgate", "gen"];
