import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, readFileSync } from "node:fs";
import { constants as osConstants } from "node:os";
import type { Duplex, Readable, Writable } from "node:stream";
import type { Fifo, FifoPool } from "./fifo-pool.ts";
import { childrenOf, readTree, readTreeUsage, type TreeUsage } from "./process-tree.ts";
import { openTerminal, type TerminalDimensions } from "./terminal.ts";
import { descriptors, StartFault, type WorkloadCommand } from "./workload-command.ts";

/** How a process ended: `signal` where the shell's status says that one did it. */
export type WorkloadExit =
  | { readonly kind: "exited"; readonly code: number }
  | {
      readonly kind: "signalled";
      readonly signal: NodeJS.Signals /** By the kernel, for the sandbox's limit. */;
      readonly outOfMemory?: true;
    }
  /** The command never ran; what was said about it came by stderr. */
  | { readonly kind: "not-started" };

/** A process of the workload, in its own namespaces. All that it started ends with it. */
export interface WorkloadProcess {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  /** Undefined where everything comes by stdout: with a terminal, or merged. */
  readonly stderr: Readable | undefined;
  /** When the process and everything below it has ended; its output may still be unread. */
  readonly exited: Promise<WorkloadExit>;
  /** Sends a signal; default: to the process's group, or to a terminal's foreground group. Does nothing once it has ended. */
  signal(signal: NodeJS.Signals, target?: SignalledProcesses): void;
  /** Ends it, whatever it does. */
  kill(): void;
  resize(size: TerminalDimensions): void;
  /** What it and everything that it started use now; undefined before it runs and once it has ended. */
  usage(): TreeUsage | undefined;
  /** Closes our ends of its streams. */
  discard(): void;
}

/** Whom a signal is for: the command, its group, or everything that it started. */
export type SignalledProcesses = "process" | "group" | "tree";

/** What its standard streams are. */
export type WorkloadStreams =
  | { readonly kind: "pipes" }
  | { readonly kind: "merged" }
  | { readonly kind: "terminal"; readonly size: TerminalDimensions };

/** Starts a process of the workload. Throws StartFault when the machine cannot; what the process itself meets is in `exited`. */
export async function startWorkloadProcess(options: {
  command: WorkloadCommand;
  streams: WorkloadStreams;
  pipes: FifoPool;
  /** The system call filter's file, open; it stays open. */
  filter: number | undefined;
}): Promise<WorkloadProcess> {
  const streams = await openStreams(options.streams, options.pipes);
  const child = spawn(options.command.file, options.command.args, {
    stdio: [...streams.theirs, "pipe", "pipe", "pipe", options.filter ?? "ignore"],
    cwd: "/",
    // The sandbox program itself must not obey the workload's variables (LD_PRELOAD): those go by its arguments.
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    detached: true,
  });
  const ended = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) =>
    child.once("exit", (code, signal) => resolve([code, signal])),
  );
  for (const fd of new Set(streams.theirs)) if (typeof fd === "number") closeSync(fd);
  const launched = Promise.withResolvers<void>();
  child.once("spawn", launched.resolve);
  child.once("error", launched.reject);
  const argumentsPipe = pipeOf(child, descriptors.arguments);
  argumentsPipe.end(options.command.sandboxArguments);
  const launch = followLaunch(child);
  try {
    await launched.promise;
  } catch (cause) {
    streams.discard();
    throw new StartFault("the sandbox program could not be started", { cause });
  }

  const exited = ended.then(([code, signal]): WorkloadExit => {
    streams.release();
    return describeExit({ code, signal, started: launch.started });
  });
  const terminal = options.streams.kind === "terminal";
  return {
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exited,
    signal: (signal, target = "group") => {
      void launch.whenStarted.then(() => {
        const { init } = launch;
        if (init === undefined || child.exitCode !== null || child.signalCode !== null) return;
        switch (target) {
          case "process":
            for (const leader of childrenOf(init).slice(0, 1)) sendSignal(leader, signal);
            return;
          case "group":
            // Pid 1 of the namespace, the sandbox program's, is in the group too: no signal but KILL and STOP reaches it from here.
            sendSignal(-(terminal ? foregroundGroup(init) : init), signal);
            return;
          case "tree":
            for (const { pid } of readTree(init)) sendSignal(pid, signal);
            return;
        }
      });
    },
    kill: () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      // Pid 1 of the namespace takes everything in it with it; before it is known, its parent takes it.
      if (launch.init === undefined) child.kill("SIGKILL");
      else sendSignal(launch.init, "SIGKILL");
    },
    resize: streams.resize,
    usage: () => {
      const { init } = launch;
      if (init === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
      return readTreeUsage(init);
    },
    discard: streams.discard,
  };
}

/** The standard streams of a process that is being started: its ends and ours. */
export interface OpenStreams {
  readonly theirs: readonly (number | "ignore")[];
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  resize(size: TerminalDimensions): void;
  /** Closes our ends. */
  discard(): void;
  /** The process has ended: pipes go back when our ends are closed. */
  release(): void;
}

/** Opens them. */
export async function openStreams(streams: WorkloadStreams, pipes: FifoPool): Promise<OpenStreams> {
  switch (streams.kind) {
    case "terminal": {
      const { ours, theirs, resize } = await openTerminal(streams.size);
      ours.on("error", () => {}); // EIO is how a terminal says that its last process is gone; "close" follows
      const discard = (): void => void ours.destroy();
      return {
        theirs: [theirs, theirs, theirs],
        stdin: ours,
        stdout: ours,
        stderr: undefined,
        resize,
        discard,
        release: () => {},
      };
    }
    case "merged": {
      const output = await pipes.takeOutput();
      return joinPipes({ theirs: ["ignore", output.theirs, output.theirs], output });
    }
    case "pipes": {
      const [input, output, errors] = [await pipes.takeInput(), await pipes.takeOutput(), await pipes.takeOutput()];
      return joinPipes({ theirs: [input.theirs, output.theirs, errors.theirs], input, output, errors });
    }
  }
}

function joinPipes(options: { theirs: OpenStreams["theirs"]; input?: Fifo; output: Fifo; errors?: Fifo }): OpenStreams {
  const { theirs, input, output, errors } = options;
  const all = [input, output, errors].filter((pipe) => pipe !== undefined);
  for (const { ours } of all) ours.on("error", () => {}); // EPIPE: the process does not read any more; "close" follows
  return {
    theirs,
    stdin: input?.ours,
    stdout: output.ours,
    stderr: errors?.ours,
    resize: () => {},
    discard: () => {
      for (const { ours } of all) ours.destroy();
    },
    release: () => {
      input?.ours.destroy();
      for (const { ours, release } of all)
        if (ours.closed) release();
        else ours.once("close", release);
    },
  };
}

/** What is known of a process on its way from the fork to the command. */
interface Launch {
  /** Pid 1 of its namespace, as seen from here. */
  readonly init: number | undefined;
  readonly started: boolean;
  readonly whenStarted: Promise<void>;
}

function followLaunch(child: ChildProcess): Launch {
  let init: number | undefined;
  let started = false;
  let text = "";
  const { promise: whenStarted, resolve } = Promise.withResolvers<void>();
  pipeOf(child, descriptors.status).on("data", (chunk: Buffer) => {
    text = (text + chunk.toString("latin1")).slice(0, 4_096);
    const pid = /"child-pid": (\d+)/.exec(text)?.[1];
    if (pid !== undefined) init = Number(pid);
  });
  pipeOf(child, descriptors.started).once("data", () => {
    started = true;
    resolve();
  });
  return {
    get init() {
      return init;
    },
    get started() {
      return started;
    },
    whenStarted,
  };
}

function pipeOf(child: ChildProcess, descriptor: number): Duplex {
  const pipe = child.stdio[descriptor] as Duplex; // spawned as "pipe"
  pipe.on("error", () => {}); // the program ended before it read or wrote all: its exit says so
  return pipe;
}

/** Statuses above 128 mean a signal, as every shell has it: the sandbox program tells no more. */
function describeExit(options: { code: number | null; signal: NodeJS.Signals | null; started: boolean }): WorkloadExit {
  const { code, signal, started } = options;
  if (signal !== null) return { kind: "signalled", signal };
  if (!started) return { kind: "not-started" };
  const name = code === null ? undefined : signalNames.get(code - 128);
  return name === undefined ? { kind: "exited", code: code ?? 0 } : { kind: "signalled", signal: name };
}

const signalNames: ReadonlyMap<number, NodeJS.Signals> = new Map(
  Object.entries(osConstants.signals)
    .reverse() // of two names of one number the first, usual one wins
    .map(([name, number]) => [number, name as NodeJS.Signals]), // the keys of that record are those names
);

/** The group that a terminal's keys would reach: that of the process below `init`, if it leads a terminal. */
function foregroundGroup(init: number): number {
  try {
    const leader = Number(childrenOf(init)[0]);
    // Fields after the name, which may hold anything but ends with the last ")": state, ppid, pgrp, session, tty_nr, tpgid.
    const stat = readFileSync(`/proc/${leader}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const foreground = Number(fields[5]);
    return foreground > 1 ? foreground : leader > 1 ? leader : init;
  } catch {
    return init; // ended in the meantime, or a kernel without `children`
  }
}

/** Sends a signal to a process or a group, if it is there. */
export function sendSignal(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause; // it has ended: nothing to do
  }
}
