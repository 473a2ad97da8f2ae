/** `node janitor.ts <directory>`: when standard input ends, kills every process that names the directory, then removes it. */
import { readdirSync, readFileSync, rmSync } from "node:fs";

const [, , directory = ""] = process.argv;
if (!/^\/.+\/[^/]+$/.test(directory)) throw new Error("no directory is named");

process.stdin.resume().once("close", () => {
  for (let left = findProcesses(); left.length > 0; left = findProcesses()) for (const pid of left) killIfThere(pid);
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
});

function findProcesses(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(directory);
      } catch {
        return false; // it has just ended
      }
    })
    .map(Number);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
