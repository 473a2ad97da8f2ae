import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ExecInput,
  ExecOutputSchema,
  OpenExec,
  RelayExecRequestSchema,
  SandboxService,
} from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { Logger } from "../logger.ts";
import { exitMessage } from "./exit-message.ts";
import { readOutput } from "./process-output.ts";
import { isSignal } from "./signal-name.ts";
import type { Workload } from "./workload.ts";
import { StartFault } from "./workload-command.ts";
import type { WorkloadProcess } from "./workload-process.ts";

type Output = MessageInitShape<typeof ExecOutputSchema>;
type Answer = MessageInitShape<typeof RelayExecRequestSchema>;

/** From SIGHUP to SIGKILL when the caller has gone. */
const hangupGraceMs = 2_000;
/** What may wait for a process that does not read, before its caller has to; signals behind it have to wait as well then. */
const maxPendingInputBytes = 4 * 1024 * 1024;

/** Runs one command that a caller of ExecSandbox asked for, and carries its streams until it ends or the caller goes away. */
export async function runExec(options: {
  sandboxId: string;
  open: OpenExec;
  sandbox: Client<typeof SandboxService>;
  workload: Pick<Workload, "start">;
  /** How many requests have been passed to the egress proxy until now. */
  egressRequests: () => number;
  logger: Logger;
}): Promise<void> {
  const { sandboxId, open, sandbox, workload, logger } = options;
  const started = Promise.withResolvers<WorkloadProcess | undefined>();
  let finished = false;
  const last = (output: NonNullable<Output["output"]>): Output => ({
    output,
    egressRequests: BigInt(options.egressRequests()),
  });

  const answers = async function* (): AsyncGenerator<Answer> {
    yield { sandboxId, execId: open.execId };
    const process = await startOf(open, workload).catch((cause: unknown) => {
      if (!(cause instanceof StartFault)) throw cause;
      return cause;
    });
    if (process instanceof StartFault) {
      started.resolve(undefined);
      yield { sandboxId, output: last({ case: "startFault", value: process.message }) };
      finished = true;
      return;
    }
    started.resolve(process);
    let tail = Buffer.alloc(0);
    for await (const { from, data } of readOutput(process)) {
      if (from === "stderr") tail = Buffer.concat([tail, data]).subarray(-400);
      yield { sandboxId, output: { output: { case: from, value: data } } };
    }
    const exit = await process.exited;
    const output =
      exit.kind === "not-started"
        ? ({ case: "startFault", value: tail.toString("utf8").trim() || "the process could not be started" } as const)
        : ({ case: "exit", value: exitMessage(exit) } as const);
    yield { sandboxId, output: last(output) };
    finished = true;
  };

  try {
    for await (const { input } of sandbox.relayExec(answers())) {
      const process = await started.promise;
      if (process !== undefined && input !== undefined) await deliver(process, input);
    }
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    if (!finished) logger.warn("an exec lost its caller", { exec_id: open.execId, reason: cause.reason });
  } finally {
    started.resolve(undefined);
    const process = await started.promise;
    if (process !== undefined) await hangUp(process);
  }
}

function startOf({ start }: OpenExec, workload: Pick<Workload, "start">): Promise<WorkloadProcess> {
  if (start === undefined) throw new StartFault("there is no command");
  const { terminal } = start;
  return workload.start({
    command: start.command,
    environment: start.environment,
    workingDirectory: start.workingDirectory,
    streams: terminal === undefined ? { kind: "pipes" } : { kind: "terminal", size: terminal },
  });
}

async function deliver(process: WorkloadProcess, { input }: ExecInput): Promise<void> {
  switch (input.case) {
    case "stdin": {
      const { stdin } = process;
      if (stdin?.writable !== true) return;
      stdin.write(input.value);
      if (stdin.writableLength > maxPendingInputBytes)
        await new Promise<void>((resolve) => stdin.once("drain", resolve).once("close", resolve));
      return;
    }
    case "stdinClosed":
      // A terminal has no end of input but the character that its line discipline takes for it.
      if (process.stderr === undefined) process.stdin?.write("\x04");
      else process.stdin?.end();
      return;
    case "signal":
      if (isSignal(input.value)) process.signal(input.value);
      return;
    case "resize":
      process.resize(input.value);
      return;
    case undefined:
      return;
  }
}

/** After the process's end: nothing. Before it: the caller has gone; what the process still writes is read and dropped, so that it can end in order. */
async function hangUp(process: WorkloadProcess): Promise<void> {
  process.signal("SIGHUP");
  if (process.stderr !== undefined) process.stdin?.destroy(); // a terminal is one stream for both
  for (const stream of [process.stdout, process.stderr]) {
    stream?.removeAllListeners("data");
    stream?.resume();
  }
  const kill = setTimeout(() => process.kill(), hangupGraceMs);
  await process.exited;
  clearTimeout(kill);
  process.discard();
}
