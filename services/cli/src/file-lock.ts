import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { CommandFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

const waitSeconds = 60;

/**
 * Does something while no other process does that takes the same lock. The lock belongs to the open file, so it ends with this
 * process however that ends. Refuses with `busy` when another one holds it for a minute.
 */
export async function withFileLock<T>(lockFile: string, busy: string, work: () => Promise<T>): Promise<T> {
  const descriptor = openSync(lockFile, "a", 0o600);
  try {
    // flock(1) locks the file description that it shares with us, and leaves the lock to us when it exits.
    const { status, error } = spawnSync("flock", ["--exclusive", "--wait", String(waitSeconds), "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor],
      timeout: (waitSeconds + 5) * 1000,
    });
    if (error !== undefined && "code" in error && error.code === "ENOENT")
      throw new CommandFailure({
        message: "flock is missing on this machine",
        mend: "install util-linux",
        exitCode: exitCodes.usage,
      });
    if (status !== 0)
      throw new CommandFailure({
        message: busy,
        mend: "wait for it to finish, then try again",
        exitCode: exitCodes.notReady,
      });
    return await work();
  } finally {
    closeSync(descriptor);
  }
}
