import type { ContainerCreateOptions, MountSettings } from "dockerode";
import type { SandboxPaths } from "../sandbox-directories.ts";
import { insideDirectories } from "../supervisor-config.ts";
import type { ImageFacts } from "./image-facts.ts";
import type { SupervisorBundle } from "./supervisor-bundle.ts";

/** Who the workload is in its container. The supervisor is root there, with the few capabilities below. */
export const workloadUser = { uid: 65_532, gid: 65_532 } as const;

/**
 * What the supervisor keeps: to become the workload's user (SETUID, SETGID), to empty that user's bounding set (SETPCAP), and to signal its processes
 * (KILL). Each is given away before a process of the workload runs.
 */
export const supervisorCapabilities = ["KILL", "SETGID", "SETPCAP", "SETUID"] as const;

/** Upper bounds of one container, all its processes together. */
export interface ContainerLimits {
  readonly memoryBytes: number;
  /** Processors' worth of time. */
  readonly cpus: number;
  readonly processes: number;
  readonly openFiles: number;
  /** Of /tmp. */
  readonly temporaryBytes: number;
  /** Of /workspace, kept in memory then; undefined: on disk, without a bound. */
  readonly workspaceBytes: number | undefined;
}

/** The names of our labels. Nothing secret is in any. */
export const labels = {
  suite: "dev.sandgate.suite",
  sandbox: "dev.sandgate.sandbox",
  incarnation: "dev.sandgate.incarnation",
} as const;

/** The processes that are not the workload's: the init, the supervisor's threads, and what starts processes. */
const reservedProcesses = 48;

/** Everything that the engine is told about a sandbox's container. */
export function containerOptions(options: {
  readonly name: string;
  readonly hostName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly image: ImageFacts;
  /** An OCI runtime's name; undefined: the engine's usual one. */
  readonly runtime: string | undefined;
  readonly bundle: SupervisorBundle;
  /** What the runtime's executable is started with. */
  readonly command: readonly string[];
  readonly paths: Pick<SandboxPaths, "bootstrap" | "workspace" | "log" | "control" | "egress">;
  readonly limits: ContainerLimits;
}): ContainerCreateOptions & { readonly name: string } {
  const { image, bundle, paths, limits, runtime } = options;
  const mount = (source: string, target: string, readOnly: boolean): MountSettings => ({
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "rprivate" },
  });
  const inMemory = (size: number, rest: string): string => `rw,nosuid,nodev,size=${size},${rest}`;
  return {
    name: options.name,
    Image: image.id,
    Hostname: options.hostName,
    Labels: { ...options.labels },
    User: "0:0",
    WorkingDir: "/",
    // The loader and the runtime obey several variables, and they are the supervisor's: of the image's each is made empty for the first program,
    // which takes away all of them. That a name alone takes a variable away is true of Docker, and not of Podman.
    Env: Object.keys(image.environment).map((name) => `${name}=`),
    Entrypoint: [
      ...[...bundle.inside.env, "-i", "PATH=/nonexistent"],
      ...[...bundle.inside.node, "--openssl-config=/dev/null", "--disable-sigusr1", "--max-semi-space-size=8"],
    ],
    Cmd: [...options.command],
    // The image's would run as the supervisor's user.
    Healthcheck: { Test: ["NONE"] },
    StopSignal: "SIGTERM",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    OpenStdin: false,
    Tty: false,
    HostConfig: {
      ...(runtime !== undefined && { Runtime: runtime }),
      NetworkMode: "none",
      IpcMode: "private",
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      CapAdd: [...supervisorCapabilities],
      SecurityOpt: ["no-new-privileges"],
      Privileged: false,
      Init: true,
      RestartPolicy: { Name: "no" },
      AutoRemove: false,
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      CpuPeriod: 100_000,
      CpuQuota: Math.round(limits.cpus * 100_000),
      PidsLimit: limits.processes + reservedProcesses,
      ShmSize: 64 * 1024 * 1024,
      OomKillDisable: false,
      Ulimits: [
        { Name: "nofile", Soft: limits.openFiles, Hard: limits.openFiles },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
      LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "1" } },
      Tmpfs: {
        "/run/sandgate": inMemory(16 * 1024 * 1024, "noexec,mode=0700"),
        "/run/identity": inMemory(64 * 1024, "noexec,mode=0755"),
        "/run/launch": inMemory(64 * 1024, "exec,mode=0755"), // the supervisor makes a program there
        "/tmp": inMemory(limits.temporaryBytes, "exec,mode=1777"),
        ...(limits.workspaceBytes === undefined
          ? {}
          : { "/workspace": inMemory(limits.workspaceBytes, "exec,mode=1777") }),
        // Where the image wants to write: bounded, and gone with the container.
        ...Object.fromEntries(
          image.volumes
            .filter((path) => path !== "/tmp" && path !== "/workspace")
            .map((path) => [path, inMemory(limits.temporaryBytes, "exec,mode=1777")]),
        ),
      },
      Mounts: [
        mount(bundle.directory, "/opt/sandgate", true),
        mount(paths.control, insideDirectories.control, true),
        mount(paths.egress, insideDirectories.egress, true),
        mount(paths.bootstrap, insideDirectories.bootstrap, false),
        mount(paths.log, insideDirectories.log, false),
        ...(limits.workspaceBytes === undefined ? [mount(paths.workspace, "/workspace", false)] : []),
        // The image's own could bring its code into the supervisor: names of users, how they are looked up, what is loaded into every program.
        ...bundle.etcFiles.map((name) => mount(`${bundle.etcDirectory}/${name}`, `/etc/${name}`, true)),
      ],
    },
  };
}
