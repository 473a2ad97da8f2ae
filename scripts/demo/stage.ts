import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type OriginServers, startOriginServers } from "./origin-servers.ts";
import type { Telling } from "./telling.ts";

/** How a command ended. */
export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output, parsed, where it is one JSON document. */
  readonly document: unknown;
}

/** Where the story plays: a suite in a directory of its own, and the servers that its sandboxes ask for. */
export interface Stage {
  /** The repository. */
  readonly root: string;
  readonly origins: OriginServers;
  readonly directory: string;
  /** Where the suite's sockets are; known once it runs. */
  runtime: string;
  /** Options that make the suite's proxy lead the story's names to its servers. */
  readonly originOptions: readonly string[];
  /** Runs the command as a user would, with --json unless it runs a program of the sandbox's. */
  sandgate(words: readonly string[], input?: string): Promise<CommandOutcome>;
  /** Ends the suite and removes everything. */
  close(): Promise<void>;
}

/** Prepares the place; nothing of the suite runs yet. */
export async function createStage(options: { root: string; telling: Telling; signal: AbortSignal }): Promise<Stage> {
  const { root, telling, signal } = options;
  const directory = mkdtempSync(join(tmpdir(), "sandgate-demo-"));
  // As root, the sandboxes' own uids have to pass through it to their files.
  chmodSync(directory, process.getuid?.() === 0 ? 0o711 : 0o700);
  const origins = await startOriginServers(["api.example", "vault.example"]);
  let closing = false;

  const sandgate = async (words: readonly string[], input?: string): Promise<CommandOutcome> => {
    if (!closing) signal.throwIfAborted();
    const child = spawn(join(root, "services/cli/bin/sandgate"), words, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], HOME: directory, SANDGATE_DIRECTORY: directory },
    });
    child.stdin.on("error", () => {}); // a command that reads none may end before it is written
    child.stdin.end(input ?? "");
    const exited = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 1));
    });
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { exitCode, stdout, stderr, document: parseDocument(stdout) };
  };

  return {
    root,
    origins,
    directory,
    runtime: "",
    originOptions: origins.names.flatMap((name) => [
      "--development-origin",
      `${name}:80=127.0.0.1:${origins.httpPort}`,
      "--development-origin",
      `${name}:443=127.0.0.1:${origins.httpsPort}`,
    ]),
    sandgate,
    async close() {
      closing = true;
      try {
        const { exitCode, stderr } = await sandgate(["down", "--yes"]);
        if (exitCode !== 0) telling.breakOff(new Error(`the suite could not be ended: ${stderr.trim()}`));
      } finally {
        await origins.close();
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

function parseDocument(stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}
