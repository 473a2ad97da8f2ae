import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { CommandFailure } from "../command-failure.ts";
import { escapeControl } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { processMark } from "./programs.ts";
import { readReadiness } from "./readiness.ts";
import type { Owner } from "./whole-file.ts";

/** A program to start. */
export interface Launch {
  readonly name: string;
  readonly node: string;
  readonly bundle: string;
  readonly configFile: string;
  readonly logFile: string;
  readonly adminPort: number;
  /** The unprivileged uid that it runs with, where we are root. */
  readonly user?: Owner;
  /** Where Node keeps its compiled code; a folder that nobody else writes to. */
  readonly compileCache?: string | undefined;
}

/** A program that was started and may not be ready yet. */
export interface Launched {
  readonly launch: Launch;
  readonly child: ChildProcess;
  readonly pid: number;
}

const longestLogBytes = 16 * 1024 * 1024;
const firstPollMs = 5;
const slowestPollMs = 50;

/**
 * Starts a program. Detached, it outlives us and writes to its log file alone; otherwise its words also come to us, through
 * `child.stdout`. Its environment is what is said here, and nothing of ours.
 */
export function launchProgram(launch: Launch, options: { detached: boolean; path: string }): Launched {
  const words = [launch.node, "--max-semi-space-size=16", launch.bundle, ...processMark(launch.configFile)];
  const [command = "", ...args] = launch.user === undefined ? words : [...dropTo(launch.user), ...words];
  const log = options.detached ? openLog(launch.logFile) : undefined;
  const child = spawn(command, args, {
    detached: true, // in a session of its own: an interruption at the terminal is for us, who end it in order
    cwd: "/",
    env: {
      PATH: options.path,
      ...(launch.compileCache === undefined ? {} : { NODE_COMPILE_CACHE: launch.compileCache }),
    },
    stdio: ["ignore", log ?? "pipe", log ?? "pipe"],
  });
  if (log !== undefined) closeSync(log);
  const { pid } = child;
  child.on("error", () => {}); // told by `untilReady`: the process is not there
  if (pid === undefined)
    throw new CommandFailure({
      message: `${launch.name} could not be started`,
      mend: `check that ${command} is installed`,
      exitCode: exitCodes.usage,
    });
  if (options.detached) child.unref();
  return { launch, child, pid };
}

/** Resolves when the program says that it is ready. Refuses when the child that it is, if given, ends before, or when it is not ready in time. */
export async function untilReady(
  program: Pick<Launch, "name" | "adminPort" | "logFile">,
  options: { readonly child?: ChildProcess; readonly deadline: number; readonly signal: AbortSignal },
): Promise<void> {
  const { child } = options;
  for (let delayMs = firstPollMs; ; delayMs = Math.min(delayMs * 1.5, slowestPollMs)) {
    options.signal.throwIfAborted();
    if (child !== undefined && (child.exitCode !== null || child.signalCode !== null)) throw endedEarly(program, child);
    const readiness = await readReadiness(program.adminPort, 2_000);
    if (readiness.state === "ready") return;
    if (performance.now() > options.deadline) {
      const waiting = Object.entries(readiness.checks).filter(([, state]) => state !== "ok");
      throw new CommandFailure({
        message: `${program.name} was not ready in time`,
        mend: `see ${program.logFile}`,
        metadata: { not_ready: waiting.map(([check]) => check).join(", ") || readiness.state },
        exitCode: exitCodes.notReady,
      });
    }
    await pause(delayMs);
  }
}

function endedEarly(program: Pick<Launch, "name" | "logFile">, child: ChildProcess): CommandFailure {
  const how = child.signalCode === null ? `exited with ${child.exitCode}` : `was ended by ${child.signalCode}`;
  const words = lastWords(program.logFile);
  return new CommandFailure({
    message: `${program.name} ${how} before it was ready${words === "" ? "" : `: ${words}`}`,
    mend: `see ${program.logFile}`,
    exitCode: child.exitCode === exitCodes.usage ? exitCodes.usage : exitCodes.failed,
  });
}

/** What a program said last: the plain lines of a refusal, or the message of its last log record. */
function lastWords(logFile: string): string {
  let text: string;
  try {
    text = readFileSync(logFile, "utf8").slice(-4_000);
  } catch {
    return "";
  }
  const plain: string[] = [];
  for (const line of text.trimEnd().split("\n").reverse()) {
    if (!line.startsWith("{")) {
      plain.unshift(line.trim());
      continue;
    }
    if (plain.length > 0) break;
    return messageOf(line);
  }
  return escapeControl(plain.join(" "));
}

function messageOf(line: string): string {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null) return "";
    const cause = "err" in record && typeof record.err === "object" && record.err !== null ? record.err : {};
    const parts = ["msg" in record ? record.msg : "", "message" in cause ? cause.message : ""];
    return escapeControl(parts.filter((part) => typeof part === "string" && part !== "").join(": "));
  } catch {
    return "";
  }
}

/** Another uid, no group, no capability, and no way to gain any. */
function dropTo(user: Owner): readonly string[] {
  return [
    "setpriv",
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--",
  ];
}

function openLog(path: string): number {
  try {
    if (statSync(path).size > longestLogBytes) renameSync(path, `${path}.1`);
  } catch {
    // there is none yet
  }
  return openSync(path, "a", 0o600);
}
