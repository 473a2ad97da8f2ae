import { spawn } from "node:child_process";
import { FirewallError } from "./firewall-error.ts";

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT = 64 * 1024;

/** A program that changes the firewall, and what to say where it is missing. */
export interface FirewallProgram {
  readonly file: string;
  /** As it calls itself. */
  readonly name: string;
  /** The package that brings it. */
  readonly package: string;
  /** The setting that names the file. */
  readonly setting: string;
  /** Default 10,000. */
  readonly timeoutMs?: number;
}

/** Runs it with these arguments and this standard input, and answers what it prints. Rejects with FirewallError, which says the mend. */
export async function runFirewallProgram(
  program: FirewallProgram,
  args: readonly string[],
  input = "",
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(program.file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: program.timeoutMs ?? TIMEOUT_MS,
    killSignal: "SIGKILL",
    env: {},
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      if (output[name].length < MAX_OUTPUT) output[name] += text;
    });
  child.on("error", (cause: NodeJS.ErrnoException) => {
    const what =
      cause.code === "ENOENT"
        ? `is missing: install the package ${program.package}, or set ${program.setting}`
        : "cannot be run";
    reject(new FirewallError(`${program.file} ${what}`, { cause }));
  });
  child.stdin.on("error", () => undefined); // it ended before it read all: its exit code tells
  child.stdin.end(input);
  child.on("close", (code, signal) => {
    if (code === 0) resolve(output.stdout);
    else reject(new FirewallError(describeFault(program.name, output.stderr, signal)));
  });
  return promise;
}

/** What went wrong with a program, and its mend, from what it said. */
export function describeFault(name: string, stderr: string, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `${name} was ended by ${signal}`;
  if (/not permitted|you must be root/i.test(stderr))
    return "this process may not change the firewall: give it the capability CAP_NET_ADMIN";
  return `${name} refused: ${stderr.split("\n")[0] ?? ""}`;
}
