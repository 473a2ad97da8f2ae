import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import {
  ExitReason,
  OutputOverflow,
  OutputStream,
  type ProcessEnd,
  type ProcessExit,
  type ProcessOutput,
  type SandboxService,
  SignalTarget,
} from "@sandgate/api/sandbox";
import { type Client, type Reason, ServiceError } from "@sandgate/rpc";
import { exitCodes } from "../exit-codes.ts";
import { exitCodeOfSignal, type Interruptions } from "../interruptions.ts";
import type { LocalTerminal } from "./local-terminal.ts";
import { ProcessInputs } from "./process-inputs.ts";

/** What to run. */
export interface ExecCommand {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Relative to the workspace. */
  readonly workingDirectory: string;
  readonly timeoutMs?: number;
}

/** Where a command's output goes. Answers false when nobody reads it any more. */
export interface ExecSink {
  stdout(data: Uint8Array): Promise<boolean>;
  stderr(data: Uint8Array): Promise<boolean>;
}

/** How a command in a sandbox ended, and how the process that asked for it should exit. */
export interface ExecOutcome {
  readonly exitCode: number;
  readonly exit?: ProcessExit;
  /** Why it could not be started, if it could not. */
  readonly startFault?: string;
  /** How many requests the sandbox had sent to the egress proxy by then, where that is known. */
  readonly egressRequests?: number;
  /** It lives on: the caller has left it to itself. */
  readonly detached?: boolean;
}

/** Where a command's streams are on this side. */
export interface LocalSide {
  readonly stdin: Readable | undefined;
  /** Set where the command has a terminal. */
  readonly terminal: LocalTerminal | undefined;
  readonly sink: ExecSink;
}

/** A process that nobody could reach for so long was left for good: it ends. */
const unattendedSeconds = 60;
/** How long contact is tried for, when it was lost. */
const patienceMs = 45_000;
const firstPauseMs = 50;
const longestPauseMs = 1_000;

/**
 * Runs a command in a sandbox with live streams, and follows it through losses of contact. The first interruption is passed to it, the
 * second ends it. Throws the server's ServiceError when the command cannot be run or the sandbox is lost.
 */
export async function runProcessSession(
  options: LocalSide & {
    readonly client: Client<typeof SandboxService>;
    readonly sandbox: string;
    readonly start: ExecCommand;
    readonly interruptions: Interruptions;
    /** Called at the first message from the process. */
    readonly onFirstOutput?: () => void;
    /** Called when contact was lost, and when it is there again. */
    readonly onContact?: (isThere: boolean) => void;
  },
): Promise<ExecOutcome> {
  const { client, sandbox, start, terminal } = options;
  const { process } = await client.startProcess({
    sandbox,
    requestId: randomUUID(),
    start: {
      command: [...start.command],
      environment: { ...start.environment },
      workingDirectory: start.workingDirectory,
      ...(terminal === undefined ? {} : { terminal: terminal.size() }),
    },
    limits: {
      unattendedTimeout: { seconds: BigInt(unattendedSeconds) },
      outputOverflow: OutputOverflow.WAIT,
      ...(start.timeoutMs !== undefined && { timeout: toDuration(start.timeoutMs) }),
    },
  });
  const processId = process?.processId ?? "";
  const outcome = await followProcess({ ...options, processId, offset: 0 });
  if (outcome.detached === true) {
    // nobody is left for whom it could run
    const request = { sandbox, processId, signal: "SIGKILL", target: SignalTarget.TREE };
    await client.signalProcess(request, { timeoutMs: 2_000 }).catch(() => undefined); // it ends unattended all the same
  }
  return outcome;
}

/**
 * Follows a process from an offset on, through losses of contact, until it ends, nobody reads its output or the caller leaves: by a second
 * interruption, or by Ctrl-P Ctrl-Q where it is shared.
 */
export async function followProcess(
  options: LocalSide & {
    readonly client: Client<typeof SandboxService>;
    readonly sandbox: string;
    readonly processId: string;
    readonly offset: number;
    readonly interruptions: Interruptions;
    /** It is not ours alone: it can be left, and goes on having its input where we have none. */
    readonly isShared?: boolean;
    readonly onFirstOutput?: () => void;
    readonly onContact?: (isThere: boolean) => void;
    /** Called where older output had been dropped, with how much of it. */
    readonly onGap?: (bytes: number) => void;
  },
): Promise<ExecOutcome> {
  const { client, sandbox, processId, terminal, sink } = options;
  const leaving = new AbortController();
  let exitCodeOnLeaving: number = exitCodes.ok;
  let interrupted = false;
  const leave = (exitCode: number): void => {
    exitCodeOnLeaving = exitCode;
    leaving.abort();
  };
  const detach = options.isShared === true && terminal !== undefined ? () => leave(exitCodes.ok) : undefined;
  const inputs = new ProcessInputs(options.stdin, { onDetach: detach, keepOpen: options.isShared === true });
  const release = options.interruptions.takeOver((signal) => {
    if (interrupted) leave(exitCodeOfSignal(signal));
    else inputs.signal(signal);
    interrupted = true;
  });
  const leaveTerminal = terminal?.enter((size) => inputs.resize(size));
  if (terminal !== undefined) inputs.resize(terminal.size());
  let offset = options.offset;
  let lostAt: number | undefined;
  let pauseMs = firstPauseMs;
  let first = true;

  /** Whether anybody still reads. */
  const pass = async ({ stream, data, ...output }: ProcessOutput): Promise<boolean> => {
    const at = Number(output.offset);
    if (at > offset && offset > 0) options.onGap?.(at - offset);
    offset = at + data.length;
    if (stream === OutputStream.STDERR) await sink.stderr(data);
    else if (!(await sink.stdout(data))) return false;
    inputs.acknowledge(offset);
    return true;
  };
  const followOnce = async (): Promise<ExecOutcome | undefined> => {
    const attach = { case: "attach", value: { processId, offset: BigInt(offset) } } as const;
    const requests = inputs.requests({ sandbox, message: attach });
    for await (const { event } of client.attachProcess(requests, { signal: leaving.signal })) {
      if (lostAt !== undefined) options.onContact?.(true);
      lostAt = undefined;
      pauseMs = firstPauseMs;
      switch (event.case) {
        case "process":
          inputs.taken(Number(event.value.inputOffset));
          if (first) options.onFirstOutput?.();
          first = false;
          break;
        case "output":
          if (!(await pass(event.value))) return { exitCode: exitCodeOfSignal("SIGPIPE"), detached: true };
          break;
        case "inputOffset":
          inputs.taken(Number(event.value));
          break;
        case "end":
          return outcomeOf(event.value);
        case undefined:
          break;
      }
    }
    return undefined;
  };
  try {
    for (;;) {
      try {
        const outcome = await followOnce();
        if (outcome !== undefined) return outcome;
        throw new ServiceError("SUPERVISOR_LOST", "the stream ended before the process");
      } catch (error) {
        if (leaving.signal.aborted) return { exitCode: exitCodeOnLeaving, detached: true };
        if (lostAt === undefined) options.onContact?.(false);
        lostAt ??= performance.now();
        if (!isCutOff(error) || performance.now() - lostAt > patienceMs) throw error;
      }
      await pause(pauseMs, leaving.signal);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  } finally {
    if (lostAt !== undefined) options.onContact?.(true); // what was shown of it goes
    inputs.end();
    leaving.abort();
    leaveTerminal?.();
    release();
    options.stdin?.pause();
  }
}

/** A length of time in a message. */
export function toDuration(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: Math.round((ms % 1_000) * 1e6) };
}

/** What says that contact was lost, and nothing about the process. */
const cutOffReasons: ReadonlySet<Reason> = new Set<Reason>([
  ...(["UNAVAILABLE", "SUPERVISOR_LOST", "TRUST_UNAVAILABLE", "SANDBOX_NOT_READY", "CANCELLED"] as const),
]);

function isCutOff(error: unknown): boolean {
  return error instanceof ServiceError && cutOffReasons.has(error.reason);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

function outcomeOf({ exit, startFault, egressRequests }: ProcessEnd): ExecOutcome {
  if (startFault !== "")
    return { exitCode: exitCodeOfStartFault(startFault), startFault, egressRequests: Number(egressRequests) };
  if (exit === undefined) return { exitCode: exitCodes.sandgateFailed };
  return { exitCode: exitCodeOfProcess(exit), exit, egressRequests: Number(egressRequests) };
}

/** The exit code that stands for the end of a process in a sandbox. */
function exitCodeOfProcess(exit: ProcessExit): number {
  switch (exit.reason) {
    case ExitReason.EXITED:
      return exit.code;
    case ExitReason.SIGNALLED:
      return exitCodeOfSignal(exit.signal);
    case ExitReason.OUT_OF_MEMORY:
    case ExitReason.LIMIT:
      return exitCodeOfSignal("SIGKILL");
    case ExitReason.TIMED_OUT:
      return exitCodes.timedOut;
    case ExitReason.CANCELLED:
      return exitCodeOfSignal("SIGHUP");
    case ExitReason.SUPERVISOR_LOST:
    case ExitReason.UNSPECIFIED:
      return exitCodes.sandgateFailed;
  }
}

function exitCodeOfStartFault(fault: string): number {
  return /ENOENT|not found|no such/i.test(fault) ? exitCodes.commandNotFound : exitCodes.commandNotExecutable;
}
