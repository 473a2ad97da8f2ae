import { spawn } from "node:child_process";
import { closeSync, fchmodSync } from "node:fs";
import type { Readable } from "node:stream";
import type { FifoPool } from "../process/fifo-pool.ts";
import { countOwnOomKills } from "../process/oom-kills.ts";
import { readTree, readTreeUsage } from "../process/process-tree.ts";
import { StartFault } from "../process/workload-command.ts";
import {
  openStreams,
  sendSignal,
  type WorkloadExit,
  type WorkloadProcess,
  type WorkloadStreams,
} from "../process/workload-process.ts";
import { foregroundGroupOf, killSession } from "./container-processes.ts";

/** How long output is waited for after the end of a process whose pipes another one, which has outlived it, still holds. */
const quietMs = 100;
/** 128 and SIGKILL. */
const killedStatus = 137;

/**
 * Starts a process of the workload as another user. What is left of its session ends with it; a process that began a session of its own lives until
 * the sandbox ends. Throws StartFault when the container cannot.
 */
export async function startUserProcess(options: {
  readonly command: { readonly file: string; readonly args: readonly string[] };
  readonly streams: WorkloadStreams;
  readonly pipes: FifoPool;
}): Promise<WorkloadProcess> {
  const { command, pipes } = options;
  const terminal = options.streams.kind === "terminal";
  const streams = await openStreams(options.streams, pipes);
  const [input] = streams.theirs;
  // the workload is not the owner of its terminal, and opens it by name all the same
  if (terminal && typeof input === "number") fchmodSync(input, 0o666);
  const killsBefore = countOwnOomKills();
  const child = spawn(command.file, command.args, {
    stdio: [...streams.theirs],
    cwd: "/",
    env: {}, // the loader obeys variables, and the first programs run as the supervisor's user
    detached: !terminal, // a leader cannot begin the session that a terminal needs
  });
  const ended = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) =>
    child.once("exit", (code, signal) => resolve([code, signal])),
  );
  for (const fd of new Set(streams.theirs)) if (typeof fd === "number") closeSync(fd);
  try {
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  } catch (cause) {
    streams.discard();
    streams.release();
    const isFull = cause instanceof Error && "code" in cause && cause.code === "EAGAIN";
    throw new StartFault(isFull ? "the sandbox has as many processes as it may" : "the process could not be started", {
      cause,
    });
  }
  const leader = child.pid ?? 0; // it was spawned
  let running = leader > 0;
  const exited = ended.then(([code, signal]): WorkloadExit => {
    running = false;
    killSession(leader);
    endWhenQuiet([streams.stdout, streams.stderr]);
    streams.release();
    // a shell whose command was killed says so by its own status
    const wasKilled = signal === "SIGKILL" || code === killedStatus;
    if (wasKilled && (countOwnOomKills() ?? 0) > (killsBefore ?? 0))
      return { kind: "signalled", signal: "SIGKILL", outOfMemory: true };
    return signal === null ? { kind: "exited", code: code ?? 0 } : { kind: "signalled", signal };
  });
  return {
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exited,
    signal: (signal, target = "group") => {
      if (!running) return;
      switch (target) {
        case "process":
          sendSignal(leader, signal);
          return;
        case "group":
          sendSignal(-(terminal ? foregroundGroupOf(leader) : leader), signal);
          return;
        case "tree":
          for (const pid of [leader, ...readTree(leader).map((each) => each.pid)]) sendSignal(pid, signal);
          return;
      }
    },
    usage: () => (running ? readTreeUsage(leader, { withRoot: true }) : undefined),
    kill: () => {
      if (!running) return;
      sendSignal(leader, "SIGKILL"); // it may not have begun its session yet
      killSession(leader);
    },
    resize: streams.resize,
    discard: streams.discard,
  };
}

/** Closes streams that others hold open, once all that was written before has been read. */
function endWhenQuiet(streams: readonly (Readable | undefined)[]): void {
  for (const stream of streams) {
    if (stream === undefined || stream.closed) continue;
    let quiet = false;
    const timer = setInterval(() => {
      // a reader who is slow is given its time
      if (!stream.readableFlowing || stream.readableLength > 0) quiet = false;
      else if (quiet) stream.destroy();
      else quiet = true;
    }, quietMs);
    stream.on("data", () => {
      quiet = false;
    });
    stream.once("close", () => clearInterval(timer));
  }
}
