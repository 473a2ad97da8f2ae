import { FileLockError, withFileLock as withLock } from "@sandgate/pki";
import { CommandFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

/**
 * Does something while no other process does that takes the same lock. Refuses with `busy` when another one holds it for a minute, and
 * where flock is missing.
 */
export async function withFileLock<T>(lockFile: string, busy: string, work: () => Promise<T>): Promise<T> {
  try {
    return await withLock(lockFile, work);
  } catch (fault) {
    if (!(fault instanceof FileLockError)) throw fault;
    throw fault.isBusy
      ? new CommandFailure(
          { message: busy, mend: "wait for it to finish, then try again", exitCode: exitCodes.notReady },
          { cause: fault },
        )
      : new CommandFailure(
          {
            message: "flock is missing on this machine, or fails",
            mend: "install util-linux",
            exitCode: exitCodes.usage,
          },
          { cause: fault },
        );
  }
}
