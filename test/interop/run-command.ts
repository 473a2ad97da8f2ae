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
export async function runCommand(command: string, words: readonly string[]): Promise<CommandOutcome> {
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], timeout: patienceMs });
  const { promise: exited, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject).on("close", resolve);
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { exitCode, stdout, stderr };
}

/** Runs a command until it has printed one JSON object, indented, and ends it. Refuses when it ends before. */
export async function readFirstObject(command: string, words: readonly string[]): Promise<Record<string, unknown>> {
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], timeout: patienceMs });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const stderr = text(child.stderr);
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    printed += chunk;
    const end = printed.indexOf("\n}\n");
    if (end >= 0) resolve(printed.slice(0, end + 3));
  });
  child.on("error", reject);
  child.on("close", () => void stderr.then((said) => reject(new Error(`${command} printed no object: ${said}`))));
  try {
    return JSON.parse(await promise) as Record<string, unknown>; // an object: it ends with a brace on a line of its own
  } finally {
    child.kill("SIGKILL");
  }
}
