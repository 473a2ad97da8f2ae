import { execFile } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { arch } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SupervisorConfig, WorkloadLimits } from "../supervisor-config.ts";
import { FifoPool } from "./fifo-pool.ts";
import { systemCallFilter } from "./system-call-filter.ts";
import { readSystemView } from "./system-view.ts";
import { workloadCommand, workloadEnvironment } from "./workload-command.ts";
import { startWorkloadProcess, type WorkloadProcess, type WorkloadStreams } from "./workload-process.ts";

/** Starts and ends the processes of this sandbox's workload. */
export interface Workload {
  /** Throws StartFault. */
  start(request: WorkloadStart): Promise<WorkloadProcess>;
  /** Sends TERM to every process; kills what is left after the time. Resolves when all have ended; nothing starts any more. */
  end(graceMs: number): Promise<void>;
  /** The ways out that every process is told, after the forwarder has its port. */
  forwarderPort: number;
  /** What every process gets that is started from now on. */
  configure(config: WorkloadConfig): void;
  /** Whether system calls are filtered: on the architectures that the filter knows. */
  readonly filtered: boolean;
}

/** What of a sandbox's configuration its processes get. */
export type WorkloadConfig = Pick<SupervisorConfig, "name" | "workload">;

/** One process to start. */
export interface WorkloadStart {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly streams: WorkloadStreams;
  /** Whether it gets none of the sandbox's own variables, which could put other code into it. */
  readonly ownCode?: boolean;
}

/** Prepares what every process needs: pipes, the system call filter, the view of the system. */
export async function createWorkload(options: {
  config: WorkloadConfig & Pick<SupervisorConfig, "sandboxId" | "forwarderPort">;
  /** A directory that only the supervisor sees. */
  privateDirectory: string;
  /** The directory of the workload's identity socket. */
  identityDirectory: string;
}): Promise<Workload> {
  const { sandboxId, forwarderPort } = options.config;
  let config: WorkloadConfig = options.config;
  const [pipes, recentProgram] = await Promise.all([
    FifoPool.create({ parent: options.privateDirectory, batch: 12 }),
    isRecentProgram(),
  ]);
  const filter = writeFilter(options.privateDirectory);
  const system = readSystemView();
  const hardLimits = readFileSync("/proc/self/limits", "latin1");
  const running = new Set<WorkloadProcess>();
  let ending = false;

  const workload: Workload = {
    forwarderPort,
    filtered: filter !== undefined,
    configure: (next) => {
      config = next;
    },
    start: async (request) => {
      const command = workloadCommand({
        request: {
          command: request.command,
          workingDirectory: request.workingDirectory,
          terminal: request.streams.kind === "terminal",
          environment: workloadEnvironment({
            sandboxId,
            forwarderPort: workload.forwarderPort,
            own: {
              ...(request.streams.kind === "terminal" ? { TERM: "xterm-256color" } : {}),
              ...(request.ownCode === true ? {} : config.workload.environment),
              ...request.environment,
            },
          }),
        },
        settings: { ...config.workload, limits: withinHardLimits(config.workload.limits, hardLimits) },
        hostName: config.name,
        identityDirectory: options.identityDirectory,
        systemRoots: system.roots,
        systemLinks: system.links,
        recentProgram,
        filtered: filter !== undefined,
      });
      // Each process program reads the filter to its end: a descriptor of its own, at its beginning.
      const filterFd = filter === undefined ? undefined : openSync(filter, "r");
      try {
        const process = await startWorkloadProcess({ command, streams: request.streams, pipes, filter: filterFd });
        running.add(process);
        void process.exited.then(() => running.delete(process));
        if (ending) process.kill();
        return process;
      } finally {
        if (filterFd !== undefined) closeSync(filterFd);
      }
    },
    end: async (graceMs) => {
      ending = true;
      const all = [...running];
      for (const process of all) process.signal("SIGTERM");
      const kill = setTimeout(() => {
        for (const process of all) process.kill();
      }, graceMs);
      await Promise.all(all.map((process) => process.exited));
      clearTimeout(kill);
    },
  };
  return workload;
}

function writeFilter(directory: string): string | undefined {
  const program = systemCallFilter(arch());
  if (program === undefined) return undefined;
  const path = join(mkdtempSync(join(directory, "filter-")), "filter.bpf");
  writeFileSync(path, program, { mode: 0o400 });
  return path;
}

/** Whether bubblewrap is 0.8 or later. */
async function isRecentProgram(): Promise<boolean> {
  const { stdout } = await promisify(execFile)("bwrap", ["--version"], { timeout: 5_000 });
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout)?.slice(1) ?? []).map(Number);
  return major > 0 || minor >= 8;
}

/** No more than this process may give: a higher limit would keep every process from starting. */
export function withinHardLimits(limits: WorkloadLimits, text: string): WorkloadLimits {
  const hard = (name: string): number => {
    const value = new RegExp(`^${name} +\\S+ +(\\S+)`, "m").exec(text)?.[1];
    return value === undefined || value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value);
  };
  const within = <K extends keyof WorkloadLimits>(key: K, name: string): Pick<WorkloadLimits, K> | object => {
    const value = limits[key];
    return value === undefined ? {} : { [key]: Math.min(value, hard(name)) };
  };
  return {
    ...within("processMemoryBytes", "Max data size"),
    ...within("processes", "Max processes"),
    ...within("openFiles", "Max open files"),
    ...within("fileSizeBytes", "Max file size"),
  };
}
