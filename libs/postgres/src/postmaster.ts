import { readdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What a server says of itself in its data directory. */
export interface PostmasterFile {
  readonly pid: number;
  readonly socketDirectory: string;
  readonly ready: boolean;
}

/** Reads postmaster.pid; undefined if there is none, or none yet that is whole. */
export async function findPostmasterFile(dataDirectory: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(join(dataDirectory, "postmaster.pid"), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, socketDirectory: lines[4] ?? "", ready: lines[7]?.trim() === "ready" };
}

/**
 * Whether a process is a postgres that works on a data directory: it has it as its working directory, in whatever mount
 * namespace. A pid in a file may have passed to another process; this cannot be mistaken.
 */
export async function isServerProcess(dataDirectory: string, pid: number): Promise<boolean> {
  try {
    const [data, cwd] = await Promise.all([stat(dataDirectory), stat(`/proc/${pid}/cwd`)]);
    if (cwd.dev !== data.dev || cwd.ino !== data.ino) return false;
    return basename(await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, "") === "postgres";
  } catch {
    return false; // it has ended, or belongs to someone else
  }
}

/** The postgres processes that work on a data directory. */
export async function findServerProcesses(dataDirectory: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => isServerProcess(dataDirectory, pid)));
  return pids.filter((_, index) => found[index]);
}

/** Sends a signal; false if the process does not exist. */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

/** Ends a server: a fast shutdown; at once if that takes too long. Resolves when none of its processes is left. */
export async function stopPostmaster(dataDirectory: string, pid: number, timeoutMs: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ["SIGINT", timeoutMs],
    ["SIGQUIT", 5_000],
    ["SIGKILL", 5_000],
  ] as const) {
    for (const process of await findServerProcesses(dataDirectory))
      if (process === pid || signal === "SIGKILL") signalProcess(process, signal);
    if (await waitUntilGone(dataDirectory, patienceMs)) return;
  }
  throw new Error("postgres does not end");
}

/**
 * Clears away what a killed server left: processes that outlived their postmaster, and lock files whose pid has passed to another
 * process, which PostgreSQL itself would take for a running server. Call it only when no postmaster is alive.
 */
export async function clearRemains(dataDirectory: string, socketDirectory: string): Promise<void> {
  // they notice the postmaster's death and end by themselves
  if (!(await waitUntilGone(dataDirectory, 5_000))) {
    for (const pid of await findServerProcesses(dataDirectory)) signalProcess(pid, "SIGKILL");
    if (!(await waitUntilGone(dataDirectory, 5_000))) throw new Error("processes of a killed postgres do not end");
  }
  await rm(join(dataDirectory, "postmaster.pid"), { force: true });
  for (const name of await readdir(socketDirectory).catch(() => []))
    if (name.startsWith(".s.PGSQL.")) await rm(join(socketDirectory, name), { force: true });
}

async function waitUntilGone(dataDirectory: string, timeoutMs: number): Promise<boolean> {
  for (const end = Date.now() + timeoutMs; ; await sleep(10)) {
    if ((await findServerProcesses(dataDirectory)).length === 0) return true;
    if (Date.now() >= end) return false;
  }
}
