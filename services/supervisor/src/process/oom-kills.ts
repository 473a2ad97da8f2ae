import { readFileSync } from "node:fs";

/** The sandbox's own control group, as version 2 and version 1 show it there. */
const own = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
const machine = "/proc/vmstat";

type Read = (path: string) => string;
const readText: Read = (path) => readFileSync(path, "latin1");

/**
 * How many processes the kernel has ended for want of memory: in the sandbox's own control group where that is to be seen, else on the machine.
 * Undefined where neither tells.
 */
export function countOomKills(read: Read = readText): number | undefined {
  return countIn([...own, machine], read);
}

/** The same, in the sandbox's own control group alone. */
export function countOwnOomKills(): number | undefined {
  return countIn(own, readText);
}

function countIn(paths: readonly string[], read: Read): number | undefined {
  for (const path of paths) {
    try {
      const count = /^oom_kill (\d+)$/m.exec(read(path))?.[1];
      if (count !== undefined) return Number(count);
    } catch {
      // not there: the next one
    }
  }
  return undefined;
}
