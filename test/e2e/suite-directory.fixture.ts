import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { hireJanitor, type Janitor } from "./janitor.fixture.ts";

const command = resolve(import.meta.dirname, "../../services/cli/bin/sandgate");

/** How one command of the command line ended. */
export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A suite in a directory of its own, as a user has it. Nothing runs in it at first. */
export class SuiteDirectory {
  readonly path: string;
  readonly #janitor: Janitor;
  readonly #running = new Set<ChildProcess>();

  constructor() {
    // short: Unix sockets lie below it; passable: as root, sandboxes have uids of their own
    this.path = mkdtempSync("/tmp/sge-");
    chmodSync(this.path, 0o711);
    this.#janitor = hireJanitor(this.path);
  }

  /** Runs a command to its end, as somebody else where `own` says so. */
  async sandgate(
    words: readonly string[],
    input?: string | Buffer,
    own: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    const child = this.start(words, own);
    child.stdin?.on("error", () => {}); // a command may end before it has read its input
    child.stdin?.end(input ?? "");
    const exited = new Promise<number | null>((settle) => child.once("close", (code) => settle(code)));
    if (child.stdout === null || child.stderr === null) throw new Error("the command was started without pipes");
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { exitCode, stdout, stderr };
  }

  /** As `sandgate`, with --json: the document, or the objects of a stream. Throws when the command fails. */
  async json(...words: readonly string[]): Promise<Record<string, unknown>[]> {
    const own = words.includes("--") ? words.indexOf("--") : words.length;
    const { exitCode, stdout, stderr } = await this.sandgate(words.toSpliced(own, 0, "--json"));
    if (exitCode !== 0) throw new Error(`sandgate ${words.join(" ")} exited with ${exitCode}: ${stdout}${stderr}`);
    return parseLines(stdout);
  }

  /** Starts a command with pipes. */
  start(words: readonly string[], own: Readonly<Record<string, string>> = {}): ChildProcess {
    const child = spawn(command, words, { env: { ...this.environment, ...own }, stdio: ["pipe", "pipe", "pipe"] });
    this.#running.add(child);
    child.once("close", () => this.#running.delete(child));
    return child;
  }

  /** Runs a shell command line with `sandgate` in a terminal of its own, and types something, or does it, once a text is shown. */
  async inTerminal(
    line: string,
    once?: { readonly after: string } & ({ readonly text: string } | { readonly act: () => void }),
  ): Promise<Outcome> {
    const child = spawn("script", ["--quiet", "--return", "--command", line, "/dev/null"], {
      env: { ...this.environment, SHELL: "/bin/sh", TERM: "xterm" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const exited = new Promise<number | null>((settle) => child.once("close", (code) => settle(code)));
    let shown = "";
    const look = (chunk: Buffer): void => {
      shown += chunk.toString();
      if (once === undefined || !shown.includes(once.after)) return;
      child.stdout.off("data", look);
      if ("act" in once) once.act();
      else child.stdin.write(once.text);
    };
    child.stdout.on("data", look);
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { exitCode, stdout, stderr };
  }

  get environment(): NodeJS.ProcessEnv {
    return {
      PATH: `${resolve(command, "..")}:${process.env.PATH ?? ""}`,
      HOME: this.path,
      SANDGATE_DIRECTORY: this.path,
    };
  }

  /** The pid of each process of the suite, by name. */
  async pids(): Promise<Readonly<Record<string, number>>> {
    const [status] = parseLines((await this.sandgate(["status", "--json"])).stdout);
    const processes = (status?.["processes"] ?? []) as { name: string; pid?: number }[]; // as `status` prints them
    return Object.fromEntries(processes.flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid]])));
  }

  /** Every process of the machine whose command line or environment names this directory. */
  processes(): readonly string[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && Number(name) !== this.#janitor.pid)
      .flatMap((name) => {
        try {
          const words = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
          return words.includes(this.path) ? [`${name} ${words}`] : [];
        } catch {
          return []; // it has just ended
        }
      });
  }

  /** Ends everything and removes the directory. */
  async remove(): Promise<void> {
    for (const child of this.#running) child.kill("SIGKILL");
    await this.sandgate(["down", "--yes"]);
    await this.#janitor.finish();
  }
}

/** The objects of NDJSON, or of one document over several lines. */
export function parseLines(output: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(output)];
  } catch {
    return output
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }
}
