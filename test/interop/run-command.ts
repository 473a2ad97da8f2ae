import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

const patienceMs = 30_000;

/** How a command ended. */
export interface CommandOutcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, or for 30 s. */
export async function runCommand(
  command: string,
  words: readonly string[],
  options: {
    /** What it reads. Secrets go this way, never among the words. */
    readonly input?: string;
    readonly directory?: string;
    /** Beside the environment of this process. */
    readonly environment?: Readonly<Record<string, string>>;
    readonly patienceMs?: number;
  } = {},
): Promise<CommandOutcome> {
  const child = spawn(command, words, {
    stdio: "pipe",
    timeout: options.patienceMs ?? patienceMs,
    cwd: options.directory,
    env: { ...process.env, ...options.environment },
  });
  const { promise: exited, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject).on("close", resolve);
  child.stdin.on("error", () => {}); // it ended without reading: its exit code says why
  child.stdin.end(options.input ?? "");
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { exitCode, stdout, stderr };
}

/** One JSON object as these commands print it: indented, or empty. */
const printedObject = /^\{(?:\}|.*?\n\})\n/s;

/** Runs a command until it has printed one JSON object, and ends it then; or to its end. Its output is that object or nothing. */
export async function runToFirstObject(command: string, words: readonly string[]): Promise<CommandOutcome> {
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], timeout: patienceMs });
  const { promise, resolve, reject } = Promise.withResolvers<CommandOutcome>();
  const stderr = text(child.stderr);
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    printed += chunk;
    const [object] = printedObject.exec(printed) ?? [];
    // without waiting for its end: a launcher's child may keep the pipes open
    if (object !== undefined) resolve({ exitCode: null, stdout: object, stderr: "" });
  });
  child.on("error", reject);
  child.on("close", (exitCode) => void stderr.then((said) => resolve({ exitCode, stdout: "", stderr: said }), reject));
  try {
    return await promise;
  } finally {
    child.kill("SIGKILL");
  }
}

/** The first JSON object that a command prints. Refuses when it ends before. */
export async function readFirstObject(command: string, words: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await runToFirstObject(command, words);
  if (stdout === "") throw new Error(`${command} printed no object: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>; // an object: it is in braces
}
