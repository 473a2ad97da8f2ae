import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Someone who cleans up behind a test, also when the test's process is interrupted or killed. */
export interface Janitor {
  readonly pid: number | undefined;
  /** Has it clean up now, and waits for that. */
  finish(): Promise<void>;
}

/**
 * Hires one for a directory: when it is told to, or this process is gone, every process that names the directory on its command line
 * is killed and the directory removed.
 */
export function hireJanitor(directory: string): Janitor {
  const program = fileURLToPath(new URL("./janitor.ts", import.meta.url));
  // a session of its own: an interrupt from the terminal is not for it
  const child = spawn(process.execPath, [program, directory], { detached: true, stdio: ["pipe", "ignore", "inherit"] });
  child.unref();
  return {
    pid: child.pid,
    async finish() {
      if (child.exitCode !== null) return;
      const exited = once(child, "exit");
      child.stdin.end();
      await exited;
    },
  };
}
