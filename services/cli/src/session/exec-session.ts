import type { Readable } from "node:stream";
import { ExitReason, type ProcessExit, type SandboxService } from "@sandgate/api/sandbox";
import type { Client } from "@sandgate/rpc";
import { exitCodes } from "../exit-codes.ts";
import { exitCodeOfSignal, type Interruptions } from "../interruptions.ts";
import { ExecInputs } from "./exec-inputs.ts";
import type { LocalTerminal } from "./local-terminal.ts";

/** What to run. */
export interface ExecCommand {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Relative to the workspace. */
  readonly workingDirectory: string;
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
}

/**
 * Runs a command in a sandbox with live streams. The first interruption is passed to it, the second ends it. Throws the
 * server's ServiceError when the command cannot be run or the sandbox is lost.
 */
export async function runExecSession(options: {
  client: Client<typeof SandboxService>;
  sandbox: string;
  start: ExecCommand;
  stdin: Readable | undefined;
  /** Set to give the command a terminal. */
  terminal: LocalTerminal | undefined;
  sink: ExecSink;
  interruptions: Interruptions;
  /** Called at the first message from the sandbox. */
  onFirstOutput?: () => void;
}): Promise<ExecOutcome> {
  const { client, sandbox, terminal, sink } = options;
  const call = new AbortController();
  const inputs = new ExecInputs(
    {
      sandbox,
      message: {
        case: "start",
        value: {
          command: [...options.start.command],
          environment: { ...options.start.environment },
          workingDirectory: options.start.workingDirectory,
          ...(terminal === undefined ? {} : { terminal: terminal.size() }),
        },
      },
    },
    options.stdin,
  );
  let interrupted: string | undefined;
  let outputClosed = false;
  const release = options.interruptions.takeOver((signal) => {
    if (interrupted !== undefined) call.abort();
    else inputs.signal(signal);
    interrupted = signal;
  });
  const leaveTerminal = terminal?.enter((size) => inputs.resize(size));
  try {
    let first = true;
    for await (const { output } of client.execSandbox(inputs, { signal: call.signal })) {
      if (first) options.onFirstOutput?.();
      first = false;
      switch (output?.output.case) {
        case "stdout":
          if (!(await sink.stdout(output.output.value))) outputClosed = true;
          break;
        case "stderr":
          await sink.stderr(output.output.value);
          break;
        case "exit":
          return {
            exitCode: exitCodeOfProcess(output.output.value),
            exit: output.output.value,
            egressRequests: Number(output.egressRequests),
          };
        case "startFault":
          return {
            exitCode: exitCodeOfStartFault(output.output.value),
            startFault: output.output.value,
            egressRequests: Number(output.egressRequests),
          };
        case undefined:
          break;
      }
      if (outputClosed) return { exitCode: exitCodeOfSignal("SIGPIPE") };
    }
    return { exitCode: exitCodes.sandgateFailed };
  } catch (error) {
    if (call.signal.aborted && interrupted !== undefined) return { exitCode: exitCodeOfSignal(interrupted) };
    throw error;
  } finally {
    inputs.end();
    call.abort();
    leaveTerminal?.();
    release();
    options.stdin?.pause();
  }
}

/** The exit code that stands for the end of a process in a sandbox. */
function exitCodeOfProcess(exit: ProcessExit): number {
  switch (exit.reason) {
    case ExitReason.EXITED:
      return exit.code;
    case ExitReason.SIGNALLED:
    case ExitReason.OUT_OF_MEMORY:
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
