import { spawn } from "node:child_process";
import { FirewallError } from "./firewall-error.ts";

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT = 64 * 1024;

/** Runs nft with these arguments and this standard input, and answers what it prints. Rejects with FirewallError, which says the mend. */
export async function runNft(
  file: string,
  args: readonly string[],
  input = "",
  timeoutMs = TIMEOUT_MS,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: timeoutMs,
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
      cause.code === "ENOENT" ? "is missing: install the package nftables, or set firewall.nft_file" : "cannot be run";
    reject(new FirewallError(`${file} ${what}`, { cause }));
  });
  child.stdin.on("error", () => undefined); // it ended before it read all: its exit code tells
  child.stdin.end(input);
  child.on("close", (code, signal) => {
    if (code === 0) resolve(output.stdout);
    else reject(new FirewallError(describeNftFault(output.stderr, signal)));
  });
  return promise;
}

/** What went wrong with nft, and its mend, from what it said. */
export function describeNftFault(stderr: string, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `nft was ended by ${signal}`;
  if (/Operation not permitted/.test(stderr))
    return "this process may not change the firewall: give it the capability CAP_NET_ADMIN";
  return `nft refused: ${stderr.split("\n")[0] ?? ""}`;
}
