import { lstatSync, readlinkSync } from "node:fs";

/** What of the supervisor's own root a workload sees, read-only. */
export interface SystemView {
  readonly roots: readonly string[];
  readonly links: readonly (readonly [string, string])[];
}

/** The parts of the system that are there: /usr, /etc as the driver composed it, the runtime, and /bin and /lib* as directories or links. */
export function readSystemView(): SystemView {
  const roots: string[] = [];
  const links: (readonly [string, string])[] = [];
  for (const path of ["/usr", "/etc", "/opt/sandgate/bin", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]) {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isSymbolicLink()) links.push([path, readlinkSync(path)]);
    else roots.push(path);
  }
  return { roots, links };
}
