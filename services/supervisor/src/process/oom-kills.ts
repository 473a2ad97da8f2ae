import { readFileSync } from "node:fs";

/**
 * How many processes the kernel has ended for want of memory: in the sandbox's own control group where that is to be seen, else on the machine.
 * Undefined where neither tells.
 */
export function countOomKills(
  read: (path: string) => string = (path) => readFileSync(path, "latin1"),
): number | undefined {
  for (const path of ["/sys/fs/cgroup/memory.events", "/proc/vmstat"]) {
    try {
      const count = /^oom_kill (\d+)$/m.exec(read(path))?.[1];
      if (count !== undefined) return Number(count);
    } catch {
      // not there: the next one
    }
  }
  return undefined;
}
