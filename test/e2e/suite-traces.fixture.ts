import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { findProcess, type ProcessIdentity, processTree } from "../../services/cli/src/suite/process-identity.ts";
import type { SuiteDirectory } from "./suite-directory.fixture.ts";

/** Every process of a suite, with all that is in its sandboxes: those that name its directory, and everything below them. */
export function suiteProcesses(suite: SuiteDirectory): readonly ProcessIdentity[] {
  const roots = suite.processes().map((line) => Number(line.split(" ")[0]));
  return [...new Set(roots.flatMap(processTree))].flatMap((pid) => findProcess(pid) ?? []);
}

/** Mounts of a directory or of anything in it, in whichever process's mount namespace. */
export function mountsOf(directory: string): readonly string[] {
  const mounts = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => linesOf(`/proc/${pid}/mountinfo`))
    .filter((line) => line.split(" ").some((field) => field === directory || field.startsWith(`${directory}/`)));
  return [...new Set(mounts)];
}

/** Unix sockets below a directory: those that a process has bound, and files that nobody listens on any more. */
export function socketsOf(directory: string): readonly string[] {
  const bound = linesOf("/proc/net/unix").flatMap((line) => {
    const path = line.slice(line.lastIndexOf(" ") + 1);
    return path.startsWith(`${directory}/`) ? [path] : [];
  });
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isSocket())
    .map((entry) => join(entry.parentPath, entry.name));
  return [...new Set([...bound, ...files])];
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n");
  } catch {
    return []; // its process has just ended
  }
}
