import { rmSync } from "node:fs";
import { join } from "node:path";
import { endProcess } from "./end-process.ts";
import { findProcessesWithArguments, type ProcessIdentity } from "./process-identity.ts";
import { forgetProcess, runningRecords } from "./process-record.ts";
import { type ProgramName, processMark } from "./programs.ts";
import type { SuiteDirectories } from "./suite-directories.ts";

/** A process of the suite, found by its record or, where that was lost, by its command line. */
export interface SuiteProcess extends ProcessIdentity {
  readonly name: string;
}

/** How one process ended. */
export interface StoppedProcess extends SuiteProcess {
  readonly how: "gone" | "ended" | "killed";
}

const programs: readonly ProgramName[] = ["egress-proxy", "gateway", "all-in-one", "sandbox", "policy", "auth"];

/** Where a program's configuration is. */
export function configFileOf(directories: SuiteDirectories, name: ProgramName): string {
  return join(directories.config, `${name}.json`);
}

/** Every process of the suite that runs now. */
export function findSuiteProcesses(directories: SuiteDirectories): readonly SuiteProcess[] {
  const found = new Map<number, SuiteProcess>();
  for (const record of runningRecords(directories.processes)) found.set(record.pid, record);
  for (const name of programs)
    for (const identity of findProcessesWithArguments(processMark(configFileOf(directories, name))))
      if (!found.has(identity.pid)) found.set(identity.pid, { name, ...identity });
  return [...found.values()];
}

/** Ends processes of the suite, each kind after those that need it: the proxy, the services, the database. */
export async function stopProcesses(
  directories: SuiteDirectories,
  processes: readonly SuiteProcess[],
  options: { readonly timeoutMs: number; readonly onStopped?: (stopped: StoppedProcess) => void },
): Promise<readonly StoppedProcess[]> {
  const stopped: StoppedProcess[] = [];
  const end = async (process: SuiteProcess) => {
    const how = await endProcess(process, {
      // PostgreSQL: disconnect everyone, write a checkpoint, end
      signal: process.name === "postgres" ? "SIGINT" : "SIGTERM",
      timeoutMs: options.timeoutMs,
    });
    forgetProcess(directories.processes, process.name);
    const result = { ...process, how };
    stopped.push(result);
    options.onStopped?.(result);
  };
  for (const stage of [["egress-proxy", "gateway"], ["sandbox"], ["policy"], ["all-in-one", "auth"], ["postgres"]])
    await Promise.all(processes.filter(({ name }) => stage.includes(name)).map(end));
  return stopped;
}

/** Removes what only a running suite needs. */
export function forgetRunningSuite(directories: SuiteDirectories): void {
  rmSync(directories.clientFile, { force: true });
}
