import { spawnSync } from "node:child_process";

/** How a short program ended. */
export interface ProgramOutcome {
  /** undefined when it is not installed or did not end in time. */
  readonly exitCode: number | undefined;
  readonly missing: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of the system to its end, at most 10 s, with nothing of our environment. */
export function runProgram(command: string, args: readonly string[]): ProgramOutcome {
  const { status, error, stdout, stderr } = spawnSync(command, [...args], {
    encoding: "utf8",
    timeout: 10_000,
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const missing = error !== undefined && "code" in error && error.code === "ENOENT";
  return { exitCode: status ?? undefined, missing, stdout: stdout ?? "", stderr: stderr ?? "" };
}
