import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findProcess, isRunning, type ProcessIdentity } from "./process-identity.ts";
import { readJsonFile, writeWhole } from "./whole-file.ts";

/** A process that `up` started. */
export interface ProcessRecord extends ProcessIdentity {
  /** all-in-one, auth, egress-proxy, postgres, … */
  readonly name: string;
  /** RFC 3339. */
  readonly startTime: string;
}

/** Remembers that this process is the one of that name. */
export function recordProcess(directory: string, name: string, pid: number, now: number): ProcessRecord | undefined {
  const identity = findProcess(pid);
  if (identity === undefined) return undefined;
  const record = { name, ...identity, startTime: new Date(now).toISOString() };
  writeWhole(join(directory, `${name}.json`), `${JSON.stringify(record)}\n`, 0o600);
  return record;
}

/** Every process that was recorded and still runs. */
export function runningRecords(directory: string): readonly ProcessRecord[] {
  let names: readonly string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      const record = parseRecord(readJsonFile(join(directory, name)));
      return record !== undefined && isRunning(record) ? [record] : [];
    });
}

/** Forgets the process of that name. */
export function forgetProcess(directory: string, name: string): void {
  rmSync(join(directory, `${name}.json`), { force: true });
}

function parseRecord(value: unknown): ProcessRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, pid, startTicks, startTime } = value as Record<string, unknown>; // fields are checked below
  return typeof name === "string" &&
    typeof pid === "number" &&
    typeof startTicks === "string" &&
    typeof startTime === "string"
    ? { name, pid, startTicks, startTime }
    : undefined;
}
