import { realpathSync } from "node:fs";

/** Where a driver has put what the supervisor, and the programs that start processes, go by. */
const own = [
  ...["/opt/sandgate/lib", "/opt/sandgate/programs", "/opt/sandgate/supervisor"],
  ...["/run/sandgate/bootstrap", "/run/sandgate/control", "/run/sandgate/egress", "/run/sandgate/log"],
  ...["/run/identity", "/run/launch", "/workspace", "/tmp"],
  ...["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.preload"],
];

/**
 * Throws an Error where a link of the image stands in the way to one of them. What lies behind a link into the workspace could be moved by the
 * workload, and something of its own put in the place: a loader, or a library for every program. To be called before anything of the
 * workload runs.
 */
export function requireOwnPaths(resolve: (path: string) => string = realpathSync): void {
  const moved = own.find((path) => {
    try {
      return resolve(path) !== path;
    } catch {
      return true; // behind a link to where only the workload can go, or not there
    }
  });
  if (moved !== undefined) throw new Error(`the image leads ${moved} elsewhere by a link`);
}
