import { readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { arch } from "node:os";
import { join } from "node:path";
import { FifoPool } from "../process/fifo-pool.ts";
import { type Workload, type WorkloadConfig, withinHardLimits } from "../process/workload.ts";
import { workloadEnvironment } from "../process/workload-command.ts";
import type { WorkloadProcess } from "../process/workload-process.ts";
import type { Boundary, SupervisorConfig } from "../supervisor-config.ts";
import { bundledProgram } from "./bundled-program.ts";
import { hasProcess, killUser, terminateUser } from "./container-processes.ts";
import { filterProgram } from "./filter-program.ts";
import { userCommand } from "./user-command.ts";
import { startUserProcess } from "./user-process.ts";

const endCheckMs = 20;

/** The workload of a sandbox whose driver has made a container: its processes run in it as another user than the supervisor. */
export async function createUserWorkload(options: {
  readonly config: WorkloadConfig & Pick<SupervisorConfig, "sandboxId" | "forwarderPort">;
  readonly boundary: Extract<Boundary, { kind: "user" }>;
  /** A directory that only the supervisor sees. */
  readonly privateDirectory: string;
  /** A directory whose programs the workload can run and not write. */
  readonly programDirectory: string;
}): Promise<Workload> {
  const { sandboxId, forwarderPort } = options.config;
  const { uid, gid, filtered } = options.boundary;
  let config: WorkloadConfig = options.config;
  const pipes = await FifoPool.create({
    parent: options.privateDirectory,
    batch: 12,
    shared: { mkfifo: bundledProgram("mkfifo") },
  });
  const filter = await writeFilterProgram(options.programDirectory);
  const hardLimits = readFileSync("/proc/self/limits", "latin1");
  const running = new Set<WorkloadProcess>();
  let ending = false;

  const workload: Workload = {
    forwarderPort,
    filtered,
    configure: (next) => {
      config = next;
    },
    start: async ({ command, environment, workingDirectory, streams, ownCode = false }) => {
      const terminal = streams.kind === "terminal";
      const process = await startUserProcess({
        command: userCommand({
          request: {
            command,
            workingDirectory,
            terminal,
            environment: workloadEnvironment({
              sandboxId,
              forwarderPort: workload.forwarderPort,
              own: {
                ...(terminal && { TERM: "xterm-256color" }),
                ...(ownCode ? {} : config.workload.environment),
                ...environment,
              },
            }),
          },
          limits: withinHardLimits(config.workload.limits, hardLimits),
          uid,
          gid,
          filter,
        }),
        streams,
        pipes,
      });
      running.add(process);
      void process.exited.then(() => running.delete(process));
      if (ending) process.kill();
      return process;
    },
    end: async (graceMs) => {
      ending = true;
      const until = performance.now() + graceMs;
      terminateUser(uid);
      while (hasProcess(uid) && performance.now() < until)
        await new Promise((resolve) => setTimeout(resolve, endCheckMs));
      killUser(uid);
      for (const process of running) process.kill(); // one that is on its way to the workload's user
      await Promise.all([...running].map((process) => process.exited));
    },
  };
  return workload;
}

async function writeFilterProgram(directory: string): Promise<string | undefined> {
  const program = filterProgram(arch());
  if (program === undefined) return undefined;
  const path = join(directory, "filtered");
  await writeFile(path, program);
  await chmod(path, 0o755);
  return path;
}
