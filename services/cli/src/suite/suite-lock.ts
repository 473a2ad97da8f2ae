import { withFileLock } from "../file-lock.ts";

/** Does something while no other command of this suite does. Refuses when another command holds the lock for a minute. */
export async function withSuiteLock<T>(lockFile: string, work: () => Promise<T>): Promise<T> {
  return withFileLock(lockFile, "another sandgate command is starting or ending this suite", work);
}
