import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { readEnvironment } from "@sandgate/config";
import { vi } from "vitest";

const patienceMs = 50_000;

/** How a program ended. */
export interface ProgramEnd {
  readonly exitCode: unknown;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether a process that it started goes on. */
  readonly leftSomething: boolean;
}

/** Runs a program, from its source, to its end; it is killed with all its processes if it does not end by itself. */
export async function runToEnd(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramEnd> {
  const main = resolve(import.meta.dirname, `../../services/${program}/src/main.ts`);
  const child = spawn(process.execPath, [main, ...words], {
    detached: true, // a process group of its own shows what is left
    env: { PATH: readEnvironment()["PATH"], ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} could not be started`);
  const timer = setTimeout(() => signalGroup(pid, "SIGKILL"), patienceMs);
  const ended = once(child, "exit");
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  const [exitCode] = await ended;
  clearTimeout(timer);
  // the kernel may still be taking down the namespaces of one that has ended
  const gone = vi.waitUntil(() => !signalGroup(pid, 0), { interval: 5, timeout: 2_000 });
  const leftSomething = await gone.then(
    () => false,
    () => true,
  );
  signalGroup(pid, "SIGKILL");
  const [stdout, stderr] = await output;
  return { exitCode, stdout, stderr, leftSomething };
}

/** Whether the process group had a process to signal. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}
