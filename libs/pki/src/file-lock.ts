import { spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";

const waitSeconds = 60;

/** The lock cannot be had. */
export class FileLockError extends Error {
  override readonly name = "FileLockError";
  /** Whether somebody else holds it; else flock(1) is not on this machine, or has failed. */
  readonly isBusy: boolean;

  constructor(message: string, options: { readonly isBusy: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.isBusy = options.isBusy;
  }
}

/**
 * Does something while nobody else does that takes the same lock, in this process or another. The lock belongs to the open file, so
 * it ends with this process however that ends. Throws FileLockError when somebody else holds it for a minute.
 */
export async function withFileLock<T>(lockFile: string, work: () => Promise<T>): Promise<T> {
  const file = await open(lockFile, "a", 0o600);
  try {
    await lock(file);
    return await work();
  } finally {
    await file.close();
  }
}

/** flock(1) locks the file description that it shares with us, and leaves the lock to us when it exits. */
function lock(file: FileHandle): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn("flock", ["--exclusive", "--wait", String(waitSeconds), "3"], {
    stdio: ["ignore", "ignore", "ignore", file.fd],
  });
  child.on("error", (cause) => reject(new FileLockError("flock cannot be run", { isBusy: false, cause })));
  child.on("exit", (code) => {
    if (code === 0) resolve();
    else reject(new FileLockError("somebody else holds the lock", { isBusy: code === 1 }));
  });
  return promise;
}
