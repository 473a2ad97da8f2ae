import { readFileSync } from "node:fs";

/** The container's own control group, as version 2 and version 1 show it there. */
const counters = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/** How many processes of this container the kernel has ended because its memory was used up; undefined where that is not told. */
export function countMemoryKills(): number | undefined {
  for (const path of counters) {
    try {
      const count = /^oom_kill (\d+)$/m.exec(readFileSync(path, "latin1"))?.[1];
      if (count !== undefined) return Number(count);
    } catch {
      // the other version, or neither
    }
  }
  return undefined;
}
