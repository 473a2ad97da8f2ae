import { readdirSync, readFileSync } from "node:fs";
import { inside } from "./outer-sandbox.ts";

/** A process at the border of a sandbox: outside of what anything in the sandbox can make. */
export interface BorderProcess {
  readonly pid: number;
  /** Since boot, in clock ticks: with the pid it names one process for ever. */
  readonly startTicks: string;
  /** `keeper` waits outside, `init` is pid 1 of the sandbox's pid namespace: with it everything in the sandbox ends. */
  readonly role: "keeper" | "init";
  readonly sandboxId: string;
  readonly incarnation: bigint;
}

/** The argument by which the outer sandbox program's processes are known. */
export function processLabel(options: { driverKey: string; sandboxId: string; incarnation: bigint }): string {
  return `sandgate:${options.driverKey}:${options.sandboxId}:${options.incarnation}`;
}

/**
 * The border processes of this driver's sandboxes, by their label. A workload can give itself any arguments, but no place in the pid namespaces
 * like theirs: keepers are in the machine's own, inits are the first of the ones right below it, and it lives deeper.
 */
export function findBorderProcesses(options: {
  driverKey: string;
  sandboxId?: string;
  /** Whether a uid may run sandboxes of this driver: another user can also give a process any arguments. */
  isOwner: (uid: number) => boolean;
}): readonly BorderProcess[] {
  const found: BorderProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const label = findLabel(name, options.driverKey);
    if (label === undefined || (options.sandboxId ?? label.sandboxId) !== label.sandboxId) continue;
    const place = readPlace(name);
    if (place === undefined || !options.isOwner(place.uid)) continue;
    found.push({ pid: Number(name), startTicks: place.startTicks, role: place.role, ...label });
  }
  return found;
}

/** Whether that very process is there, and not a later one of its pid. */
export function isAlive(process: Pick<BorderProcess, "pid" | "startTicks">): boolean {
  return readStartTicks(String(process.pid)) === process.startTicks;
}

/**
 * The supervisor below a sandbox's init; undefined when it is not there. Orphans may be there as well, with arguments that a workload
 * chose, but behind the names of programs of ours.
 */
export function findSupervisor(init: BorderProcess): number | undefined {
  const children = read(`/proc/${init.pid}/task/${init.pid}/children`)?.trim().split(" ") ?? [];
  return children.map(Number).find((pid) => {
    const [program, ...args] = (pid > 0 && read(`/proc/${pid}/cmdline`)?.split("\0")) || [];
    return program === inside.runtime && args.includes(inside.supervisor);
  });
}

function findLabel(pid: string, driverKey: string): Pick<BorderProcess, "sandboxId" | "incarnation"> | undefined {
  const prefix = `sandgate:${driverKey}:`;
  const commandLine = read(`/proc/${pid}/cmdline`);
  if (commandLine?.includes(prefix) !== true) return undefined;
  const label = commandLine.split("\0").find((argument) => argument.startsWith(prefix));
  const match = /^(sbx-[a-z2-7]{20}):(\d{1,18})$/.exec(label?.slice(prefix.length) ?? "");
  return match?.[1] === undefined || match[2] === undefined
    ? undefined
    : { sandboxId: match[1], incarnation: BigInt(match[2]) };
}

function readPlace(pid: string): { role: BorderProcess["role"]; uid: number; startTicks: string } | undefined {
  const status = read(`/proc/${pid}/status`);
  const startTicks = readStartTicks(pid);
  const pids = /^NSpid:\s+(.*)$/m
    .exec(status ?? "")?.[1]
    ?.trim()
    .split(/\s+/);
  const uid = /^Uid:\s+(\d+)/m.exec(status ?? "")?.[1];
  if (pids === undefined || uid === undefined || startTicks === undefined) return undefined;
  if (pids.length === 1) return { role: "keeper", uid: Number(uid), startTicks };
  if (pids.length === 2 && pids[1] === "1") return { role: "init", uid: Number(uid), startTicks };
  return undefined;
}

/** Undefined for a process that is not there, or is dead and not yet waited for. */
function readStartTicks(pid: string): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // Fields after the name, which may hold anything but ends with the last ")": state first, start time the twentieth.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // it has ended, or belongs to somebody else: either way it is none of ours
  }
}
