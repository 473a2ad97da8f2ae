import { copyFileSync, existsSync, linkSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { makeDirectory } from "./whole-file.ts";

/** The programs that `up` starts. */
export const programNames = ["all-in-one", "auth", "sandbox", "policy", "egress-proxy", "gateway"] as const;

/** One of them. */
export type ProgramName = (typeof programNames)[number];

/** The words by which a program's process is known again, whatever became of its record. */
export function processMark(configFile: string): readonly string[] {
  return ["--config", configFile];
}

const bundles: Readonly<Record<ProgramName | "supervisor" | "terminal", URL>> = {
  "all-in-one": new URL("../../../../dist/all-in-one.mjs", import.meta.url),
  auth: new URL("../../../../dist/auth.mjs", import.meta.url),
  sandbox: new URL("../../../../dist/sandbox.mjs", import.meta.url),
  policy: new URL("../../../../dist/policy.mjs", import.meta.url),
  "egress-proxy": new URL("../../../../dist/egress-proxy.mjs", import.meta.url),
  gateway: new URL("../../../../dist/gateway.mjs", import.meta.url),
  supervisor: new URL("../../../../dist/supervisor.mjs", import.meta.url),
  terminal: new URL("../../../../dist/pty.node", import.meta.url),
};

/** The path of a program's bundle. Refuses when it was not built. */
export function locateProgram(name: ProgramName | "supervisor" | "terminal"): string {
  const path = fileURLToPath(bundles[name]);
  if (existsSync(path)) return path;
  throw new CommandFailure({
    message: `${path} is missing`,
    mend: "`npm run build` makes it",
    exitCode: exitCodes.usage,
  });
}

/**
 * A path by which every user can read the file: its own where its folders let them through, else a copy (a second link where
 * that is possible) in `directory`.
 */
export function readableByAll(path: string, directory: string): string {
  if (isReachableByAll(path)) return path;
  const target = join(directory, basename(path));
  const source = statSync(path);
  const present = existsSync(target) ? statSync(target) : undefined;
  if (present?.ino === source.ino || (present?.size === source.size && present.mtimeMs >= source.mtimeMs))
    return target;
  makeDirectory(directory, 0o711);
  const temporary = `${target}.${process.pid}.new`;
  rmSync(temporary, { force: true });
  try {
    linkSync(path, temporary);
  } catch {
    copyFileSync(path, temporary); // another file system
  }
  renameSync(temporary, target);
  return target;
}

function isReachableByAll(path: string): boolean {
  if ((statSync(path).mode & 0o004) === 0) return false;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
