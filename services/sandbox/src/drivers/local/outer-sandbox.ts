import { lstatSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { etcFiles } from "../etc-files.ts";
import type { SandboxOwner, SandboxPaths } from "../sandbox-directories.ts";
import { insideDirectories } from "../supervisor-config.ts";

/** Where things are in the supervisor's view. */
export const inside = {
  runtime: "/opt/sandgate/bin/node",
  supervisor: "/opt/sandgate/supervisor/supervisor.mjs",
  terminal: "/opt/sandgate/supervisor/pty.node",
  ...insideDirectories,
  workspace: "/run/sandgate/workspace",
  temporary: "/run/sandgate/tmp",
} as const;

/** The files that a supervisor is made of, on the machine. */
export interface SupervisorFiles {
  /** The Node executable. */
  readonly node: string;
  /** The bundle, supervisor.mjs. */
  readonly supervisor: string;
  /** The terminal's native module, pty.node. */
  readonly terminal: string;
}

/** The file descriptor on which the launch says that the sandbox is set up. */
export const startedDescriptor = 3;

/**
 * The command line that runs the supervisor in the outer sandbox: private namespaces of every kind, a read-only system, and of the machine's
 * directories only this sandbox's own. It does not end with the driver.
 */
export function outerCommand(options: {
  label: string;
  paths: Pick<SandboxPaths, "bootstrap" | "workspace" | "temporary" | "log" | "control" | "egress">;
  files: SupervisorFiles;
  /** A directory with passwd, group, hosts and nsswitch.conf. */
  etcDirectory: string;
  owner: SandboxOwner | undefined;
  command: readonly string[];
}): { file: string; args: readonly string[] } {
  const { owner, paths, files, label } = options;
  const bubblewrap = [
    ...["--setenv", "SANDGATE_LABEL", label, "--clearenv", "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"],
    ...[
      "--unshare-user",
      "--uid",
      "65532",
      "--gid",
      "65532",
      "--unshare-pid",
      "--unshare-net",
      "--unshare-ipc",
      "--unshare-uts",
    ],
    ...["--unshare-cgroup-try", "--new-session", "--cap-drop", "ALL"],
    ...systemMounts(),
    ...etcMounts(options.etcDirectory),
    ...[
      "--proc",
      "/proc",
      "--dev",
      "/dev",
      "--perms",
      "1777",
      "--tmpfs",
      "/tmp",
      "--perms",
      "0700",
      "--dir",
      "/run/sandgate",
    ],
    ...["--ro-bind", paths.control, inside.control, "--ro-bind", paths.egress, inside.egress],
    ...["--bind", paths.bootstrap, inside.bootstrap, "--bind", paths.log, inside.log],
    ...["--bind", paths.workspace, inside.workspace, "--bind", paths.temporary, inside.temporary],
    ...["--ro-bind", files.node, inside.runtime, "--ro-bind", files.supervisor, inside.supervisor],
    ...["--ro-bind", files.terminal, inside.terminal],
    ...["--remount-ro", "/", "--chdir", "/", "--"],
    ...["/bin/sh", "-c", `printf . >&${startedDescriptor}; exec "$@" ${startedDescriptor}>&-`, "sh"],
    ...options.command,
  ];
  if (owner === undefined) return { file: "bwrap", args: bubblewrap };
  const ids = ["--reuid", String(owner.uid), "--regid", String(owner.gid), "--clear-groups"];
  return {
    file: "setpriv",
    args: [
      ...ids,
      "--inh-caps=-all",
      "--ambient-caps=-all",
      "--bounding-set=-all",
      "--no-new-privs",
      "--",
      "bwrap",
      ...bubblewrap,
    ],
  };
}

/** /usr, and /bin and /lib* as the machine has them: links into /usr, or directories. */
function systemMounts(): string[] {
  const mounts = ["--ro-bind", "/usr", "/usr"];
  for (const path of ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]) {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() === true) mounts.push("--symlink", readlinkSync(path), path);
    else if (stat?.isDirectory() === true) mounts.push("--ro-bind", path, path);
  }
  return mounts;
}

/** Of the machine's /etc only what programs need to load libraries, verify certificates and know names; no resolver. */
function etcMounts(etcDirectory: string): string[] {
  const own = Object.keys(etcFiles).flatMap((name) => ["--ro-bind", join(etcDirectory, name), `/etc/${name}`]);
  const shared = [
    ...[
      "alternatives",
      "ld.so.cache",
      "ld.so.conf",
      "ld.so.conf.d",
      "localtime",
      "mime.types",
      "protocols",
      "services",
    ],
    ...[
      "ssl/certs",
      "ssl/openssl.cnf",
      "ca-certificates",
      "pki/tls/certs",
      "pki/tls/cert.pem",
      "pki/ca-trust",
      "terminfo",
    ],
  ];
  return [...own, ...shared.flatMap((name) => ["--ro-bind-try", `/etc/${name}`, `/etc/${name}`])];
}
