/**
 * Enters into package-lock.json the optional packages of other platforms that npm left out, which it does when its registry lacks them; `npm ci`
 * refuses such a lock, and with the entries it passes over them by their os and cpu. With --check it writes nothing and fails when one is missing.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

interface LockedPackage {
  readonly version?: string;
  readonly optional?: boolean;
  readonly dev?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lock {
  packages: Record<string, LockedPackage>;
}

/** The entries that a lock lacks. Throws where the platform cannot be read off a package's name, or the version isn't exact. */
export function findMissingEntries(lock: Lock): Readonly<Record<string, LockedPackage>> {
  const missing: Record<string, LockedPackage> = {};
  for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages))
    for (const [name, version] of Object.entries(optionalDependencies))
      if (!isLocked(lock, path, name))
        missing[`node_modules/${name}`] = {
          version,
          ...platformOf(name, version),
          ...(dev === true && { dev }),
          optional: true,
        };
  return missing;
}

/** Whether a package in `path` finds `name` in a node_modules folder of its own or above. */
function isLocked({ packages }: Lock, path: string, name: string): boolean {
  if (packages[path === "" ? `node_modules/${name}` : `${path}/node_modules/${name}`] !== undefined) return true;
  return path !== "" && isLocked({ packages }, path.slice(0, Math.max(0, path.lastIndexOf("/node_modules/"))), name);
}

function platformOf(name: string, version: string): { os: readonly string[]; cpu: readonly string[] } {
  const [, os, cpu] =
    /[-/](android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(arm64|arm|ia32|loong64|ppc64|riscv64|s390x|x64)/.exec(
      name.replace(/-aarch64/, "-arm64"),
    ) ?? [];
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+/.test(version))
    throw new TypeError(`package-lock.json lacks ${name}@${version}, and its name does not tell the platform`);
  return { os: [os], cpu: [cpu] };
}

if (import.meta.main) {
  const file = join(resolve(import.meta.dirname, ".."), "package-lock.json");
  const lock = JSON.parse(readFileSync(file, "utf8")) as Lock; // npm wrote it
  const missing = findMissingEntries(lock);
  if (process.argv.includes("--check")) {
    for (const path of Object.keys(missing)) console.error(`package-lock.json lacks ${path}`);
    process.exitCode = Object.keys(missing).length > 0 ? 1 : 0;
  } else if (Object.keys(missing).length > 0) {
    // npm's own order.
    const entries = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => a.localeCompare(b, "en"));
    writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(entries) }, null, 2)}\n`);
  }
}
