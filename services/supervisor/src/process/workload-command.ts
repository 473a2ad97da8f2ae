import type { WorkloadLimits, WorkloadSettings } from "../supervisor-config.ts";
import { identitySocketName } from "../workload-identity/identity-socket.ts";

/** A process that the workload is to run. */
export interface WorkloadRequest {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** As the process sees it; relative to /workspace; empty means /workspace. */
  readonly workingDirectory: string;
  readonly terminal: boolean;
}

/** Where a workload finds the directory of its identity socket. */
const identityDirectory = "/run/identity";

/** How to start it: the program and its arguments, and what the sandbox program reads from `descriptors.arguments`. */
export interface WorkloadCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly sandboxArguments: Buffer;
}

/** The file descriptors that the started program expects beside 0, 1 and 2. */
export const descriptors = { arguments: 3, status: 4, started: 5, filter: 6 } as const;

/** It cannot be started as asked. The message is for the caller. */
export class StartFault extends Error {
  override readonly name = "StartFault";
}

/** The variables that every process has; what the sandbox's own environment or the caller says beside them cannot replace the ways out. */
export function workloadEnvironment(options: {
  sandboxId: string;
  forwarderPort: number;
  own: Readonly<Record<string, string>>;
}): Readonly<Record<string, string>> {
  const proxy = `http://127.0.0.1:${options.forwarderPort}`;
  const local = "localhost,127.0.0.1,::1";
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/sandgate/bin",
    HOME: "/workspace",
    USER: "sandbox",
    LOGNAME: "sandbox",
    LANG: "C.UTF-8",
    ...options.own,
    // D-24: curl reads only the lower-case one for http. They are advice: the network namespace is what enforces.
    ...Object.fromEntries(["http_proxy", "https_proxy", "all_proxy"].flatMap((name) => bothCases(name, proxy))),
    ...Object.fromEntries(bothCases("no_proxy", local)),
    NODE_USE_ENV_PROXY: "1",
    SANDBOX_ID: options.sandboxId,
    // where the socket is while policy grants an audience; a path, and no secret
    SANDGATE_IDENTITY_SOCKET: `${identityDirectory}/${identitySocketName}`,
  };
}

/**
 * The command line that runs a process of the workload in namespaces of its own below the supervisor's: it shares only the
 * network namespace, in which there is nothing but loopback. Throws StartFault for what no process can be given.
 */
export function workloadCommand(options: {
  request: WorkloadRequest;
  settings: Pick<WorkloadSettings, "workspace" | "temporary" | "limits">;
  hostName: string;
  /** The directory of the workload's identity socket, as the supervisor sees it. */
  identityDirectory: string;
  systemRoots: readonly string[];
  /** Symbolic links of the root directory, as [name, target]. */
  systemLinks: readonly (readonly [string, string])[];
  /** Whether the sandbox program is bubblewrap 0.8 or later: it can forbid user namespaces and bound a tmpfs. */
  recentProgram: boolean;
  filtered: boolean;
}): WorkloadCommand {
  const { request, settings } = options;
  requirePlain(request);
  const sandboxArguments = [
    "--unshare-user",
    ...(options.recentProgram ? ["--disable-userns"] : []),
    ...["--uid", "65532", "--gid", "65532"],
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--hostname", options.hostName, "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
    "--clearenv",
    ...Object.entries(request.environment).flatMap(([name, value]) => ["--setenv", name, value]),
    ...options.systemRoots.flatMap((path) => ["--ro-bind", path, path]),
    ...options.systemLinks.flatMap(([name, target]) => ["--symlink", target, name]),
    ...["--proc", "/proc", "--dev", "/dev"],
    ...(options.recentProgram ? ["--size", String(sharedMemoryBytes)] : []),
    ...["--perms", "1777", "--tmpfs", "/dev/shm"],
    ...["--bind", settings.workspace, "/workspace", "--bind", settings.temporary, "/tmp"],
    ...["--dir", "/run", "--dir", "/var", "--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run"],
    ...["--ro-bind", options.identityDirectory, identityDirectory],
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
    ...(options.filtered ? ["--seccomp", String(descriptors.filter)] : []),
    ...["--json-status-fd", String(descriptors.status), "--chdir", "/workspace"],
  ];
  return {
    file: "prlimit",
    args: [
      ...limitArguments(settings.limits),
      ...["--", "bwrap", "--args", String(descriptors.arguments), "--"],
      // With a terminal: a session that the process leads, so that ^C reaches it alone.
      ...(request.terminal ? ["setsid", "--ctty"] : []),
      ...["/bin/sh", "-c", launch, "sh", request.workingDirectory === "" ? "/workspace" : request.workingDirectory],
      ...request.command,
    ],
    sandboxArguments: Buffer.from(sandboxArguments.map((argument) => `${argument}\0`).join("")),
  };
}

/** The shell gives "not found" its usual status 127, and tells by descriptor 5 that from here on everything is the command's own. */
const launch = `cd -- "$1" || exit 126; shift; printf . >&${descriptors.started}; exec "$@" ${descriptors.started}>&-`;

const sharedMemoryBytes = 64 * 1024 * 1024;

/** The limits as arguments of prlimit. */
export function limitArguments(limits: WorkloadLimits): string[] {
  const flag = (name: string, value: number | undefined): string[] =>
    value === undefined ? [] : [`--${name}=${value}:${value}`];
  return [
    "--core=0:0",
    // not the address space: runtimes with WebAssembly or garbage collectors reserve far more of it than they use
    ...flag("data", limits.processMemoryBytes),
    ...flag("nproc", limits.processes),
    ...flag("nofile", limits.openFiles),
    ...flag("fsize", limits.fileSizeBytes),
  ];
}

/**
 * Throws StartFault for what no process can be given: a NUL would end an argument and begin another one, which the sandbox program would
 * obey.
 */
export function requirePlain({ command, environment, workingDirectory }: WorkloadRequest): void {
  if (command.length === 0 || command[0] === "") throw new StartFault("there is no command");
  const names = Object.keys(environment);
  if (names.length > 1_000) throw new StartFault("there are more than 1000 environment variables");
  if (!names.every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)))
    throw new StartFault("the name of an environment variable is not valid");
  if ([...command, ...Object.values(environment), workingDirectory].some((text) => text.includes("\0")))
    throw new StartFault("a NUL character cannot be passed to a process");
}

function bothCases(name: string, value: string): [string, string][] {
  return [
    [name, value],
    [name.toUpperCase(), value],
  ];
}
