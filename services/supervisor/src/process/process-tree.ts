import { readdirSync, readFileSync } from "node:fs";

/** What the processes below one use. */
export interface TreeUsage {
  readonly processes: number;
  readonly cpuTimeMs: number;
  /** Pages that several share are counted for each. */
  readonly memoryBytes: number;
}

/** One process of a tree. */
interface TreeProcess {
  readonly pid: number;
  /** Its own, and that of its children that were waited for. */
  readonly cpuTimeMs: number;
}

/** The kernel counts a process's time for us in hundredths of a second, whatever its own tick. */
const tickMs = 10;

/** The children of a process's first thread, the oldest first. Throws where it has ended. */
export function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1")
    .split(" ")
    .map(Number)
    .filter((child) => child > 1);
}

/** Every process below one. */
export function readTree(root: number): readonly TreeProcess[] {
  const byParent = Map.groupBy(readProcesses(), ({ parent }) => parent);
  const found: TreeProcess[] = [];
  const parents = [root];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop())
    for (const process of byParent.get(parent) ?? []) {
      found.push(process);
      parents.push(process.pid);
    }
  return found;
}

/** What the processes below one use now, with the time of those that have ended; with the one itself where that is asked for. */
export function readTreeUsage(root: number, { withRoot = false } = {}): TreeUsage {
  const first = readProcess(root);
  const processes = [...(withRoot && first !== undefined ? [first] : []), ...readTree(root)];
  const ended = withRoot ? 0 : (first?.childrenTimeMs ?? 0);
  return {
    processes: processes.length,
    cpuTimeMs: processes.reduce((sum, { cpuTimeMs }) => sum + cpuTimeMs, ended),
    memoryBytes: processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0),
  };
}

function readProcesses() {
  return readdirSync("/proc").flatMap((name) => (/^[0-9]+$/.test(name) ? (readProcess(Number(name)) ?? []) : []));
}

function readProcess(pid: number) {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // Fields after the name, which may hold anything but ends with the last ")": state, ppid, …, utime, stime, cutime, cstime.
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = fields.slice(11, 15);
  const childrenTimeMs = (childrenUser + childrenSystem) * tickMs;
  return { pid, parent: fields[1] ?? 0, cpuTimeMs: (user + system) * tickMs + childrenTimeMs, childrenTimeMs };
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readIfThere(`/proc/${pid}/status`) ?? "")?.[1] ?? 0) * 1024;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // ended in the meantime
  }
}
