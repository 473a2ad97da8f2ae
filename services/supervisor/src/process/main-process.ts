import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PushSandboxLogsRequestSchema, SandboxService, SandboxSpec } from "@sandgate/api/sandbox";
import type { OutputLog } from "@sandgate/process-log";
import { type Client, ServiceError } from "@sandgate/rpc";
import { createBackoff } from "../backoff.ts";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import { exitMessage } from "./exit-message.ts";
import { readOutput } from "./process-output.ts";
import type { Workload } from "./workload.ts";
import { StartFault } from "./workload-command.ts";
import type { WorkloadExit } from "./workload-process.ts";

/** What the main process needs. */
export interface MainProcessOptions {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  readonly sandbox: Client<typeof SandboxService>;
  readonly workload: Pick<Workload, "start">;
  /** Empty. What of it is stored is dropped. */
  readonly output: OutputLog;
  readonly timers: Timers;
  readonly random: () => number;
  readonly logger: Logger;
  /** Output that is not stored yet makes the process wait beyond this; default 64 MiB. */
  readonly maxUnstoredBytes?: number;
}

const chunkBytes = 64 * 1024;
const pushBytes = 4 * 1024 * 1024;

/** Runs the sandbox's main process: its output goes to files and from there to the control plane, then its end is reported. */
export async function runMainProcess(
  options: MainProcessOptions,
  spec: SandboxSpec,
  signal: AbortSignal,
): Promise<void> {
  const pushing = pushLogs(options, signal);
  const exit = await runToExit(options, spec);
  options.output.close();
  await pushing;
  await reportExit(options, exit, signal);
}

async function runToExit(options: MainProcessOptions, spec: SandboxSpec): Promise<WorkloadExit> {
  const { output, workload } = options;
  const maxUnstoredBytes = options.maxUnstoredBytes ?? 64 * 1024 * 1024;
  try {
    const process = await workload.start({
      command: spec.command,
      environment: spec.environment,
      workingDirectory: "",
      streams: { kind: "merged" },
    });
    for await (const { data } of readOutput(process)) {
      output.append("stdout", data);
      while (output.sizeBytes > maxUnstoredBytes) await output.changed();
    }
    return await process.exited;
  } catch (cause) {
    if (!(cause instanceof StartFault)) throw cause;
    output.append("stdout", Buffer.from(`${cause.message}\n`));
    return { kind: "not-started" };
  }
}

/** Pushes until the output is closed and everything in it is stored, or the signal aborts. */
async function pushLogs(options: MainProcessOptions, signal: AbortSignal): Promise<void> {
  const { output, sandbox, timers, logger } = options;
  const backoff = createBackoff({ firstMs: 100, maxMs: 5_000, random: options.random });
  let stored = 0;
  while (!signal.aborted) {
    if (stored === output.end) {
      if (output.closed) return;
      await Promise.race([output.changed(), aborted(signal)]);
      continue;
    }
    try {
      const { storedOffset } = await sandbox.pushSandboxLogs(pieces(options, stored), { signal, timeoutMs: 30_000 });
      stored = Math.max(stored, Math.min(Number(storedOffset), output.end));
      output.dropBefore(stored);
      backoff.reset();
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      if (signal.aborted) return;
      logger.warn("output waits for the server", { reason: cause.reason });
      await timers.wait(backoff.next(), signal);
    }
  }
}

async function* pieces(
  options: MainProcessOptions,
  stored: number,
): AsyncGenerator<MessageInitShape<typeof PushSandboxLogsRequestSchema>> {
  const { output, sandboxId, incarnation } = options;
  const end = Math.min(output.end, stored + pushBytes);
  const reader = output.read(stored);
  while (reader.offset < end) {
    const piece = reader.next(Math.min(chunkBytes, end - reader.offset));
    if (piece === undefined) return;
    yield { sandboxId, incarnation, offset: BigInt(piece.offset), data: piece.data };
  }
}

async function reportExit(options: MainProcessOptions, exit: WorkloadExit, signal: AbortSignal): Promise<void> {
  const { sandbox, sandboxId, incarnation, timers, logger } = options;
  const backoff = createBackoff({ firstMs: 100, maxMs: 5_000, random: options.random });
  while (!signal.aborted) {
    try {
      await sandbox.reportProcessExit({ sandboxId, incarnation, exit: exitMessage(exit) }, { signal });
      return;
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      logger.warn("the end of the main process is not reported yet", { reason: cause.reason });
      await timers.wait(backoff.next(), signal);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
