import { closeSync, readdirSync, readFileSync } from "node:fs";

/**
 * Closes what whoever started the driver left open in it: such descriptors pass through every program down to the workload, and may lead to the
 * machine's files. This runtime's own are marked to be closed by any program that is started.
 */
export function closeInheritedDescriptors(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd > 2 && isInheritable(fd)) closeSync(fd);
  }
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    return false; // the one with which the directory was read
  }
}

/** O_CLOEXEC, which node:fs does not name. */
const closeOnExec = 0o2000000;
