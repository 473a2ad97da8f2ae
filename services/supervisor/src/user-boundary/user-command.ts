import { posix } from "node:path";
import { limitArguments, requirePlain, StartFault, type WorkloadRequest } from "../process/workload-command.ts";
import type { WorkloadLimits } from "../supervisor-config.ts";
import { bundledProgram } from "./bundled-program.ts";

/** The first that the kernel ends when the sandbox's memory is used up: not the supervisor, which is at 0. */
const killFirst = "500";

/**
 * The command line that makes a process of the workload out of one of the supervisor's: lower limits, another user, every set of capabilities
 * empty, and only then anything that a user chose, its variables too. Throws StartFault for what no process can be given.
 */
export function userCommand(options: {
  readonly request: WorkloadRequest;
  readonly limits: WorkloadLimits;
  readonly uid: number;
  readonly gid: number;
  /** The path of the program that filters system calls; undefined where there is none for this architecture. */
  readonly filter: string | undefined;
}): { readonly file: string; readonly args: readonly string[] } {
  const { request, uid, gid, filter } = options;
  requirePlain(request);
  const [program = ""] = request.command;
  // the last program would take it for a variable
  if (program.includes("=")) throw new StartFault("the name of a program must not contain =");
  // Not by their numbers for the kernel alone: the limit of processes counts over every container of the machine.
  const { processes: _, ...limits } = options.limits;
  const [file = "", ...args] = [
    ...[...bundledProgram("choom"), "-n", killFirst, "--"],
    ...[...bundledProgram("prlimit"), ...limitArguments(limits), "--"],
    ...[...bundledProgram("setpriv"), "--reuid", String(uid), "--regid", String(gid), "--clear-groups"],
    ...["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"],
    ...(filter === undefined ? [] : [filter]),
    // With a terminal: a session that the process leads, so that ^C reaches it alone.
    ...(request.terminal ? [...bundledProgram("setsid"), "--ctty"] : []),
    ...[...bundledProgram("env"), "-i", "-C", posix.resolve("/workspace", request.workingDirectory)],
    ...Object.entries(request.environment).map(([name, value]) => `${name}=${value}`),
    ...request.command,
  ];
  return { file, args };
}
