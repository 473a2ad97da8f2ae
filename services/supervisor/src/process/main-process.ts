import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PushSandboxLogsRequestSchema, SandboxService, SandboxSpec } from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import { createBackoff } from "../backoff.ts";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import { exitMessage } from "./exit-message.ts";
import type { LogSpool } from "./log-spool.ts";
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
  readonly spool: LogSpool;
  readonly timers: Timers;
  readonly random: () => number;
  readonly logger: Logger;
  /** Output that is not stored yet makes the process wait beyond this; default 64 MiB. */
  readonly maxUnstoredBytes?: number;
}

const chunkBytes = 64 * 1024;
const pushBytes = 4 * 1024 * 1024;

/** Runs the sandbox's main process: its output goes to the spool and from there to the control plane, then its end is reported. */
export async function runMainProcess(
  options: MainProcessOptions,
  spec: SandboxSpec,
  signal: AbortSignal,
): Promise<void> {
  const pushing = pushLogs(options, signal);
  const exit = await runToExit(options, spec);
  options.spool.close();
  await pushing;
  await reportExit(options, exit, signal);
}

async function runToExit(options: MainProcessOptions, spec: SandboxSpec): Promise<WorkloadExit> {
  const { spool, workload } = options;
  const maxUnstoredBytes = options.maxUnstoredBytes ?? 64 * 1024 * 1024;
  try {
    const process = await workload.start({
      command: spec.command,
      environment: spec.environment,
      workingDirectory: "",
      streams: { kind: "merged" },
    });
    for await (const { data } of readOutput(process)) {
      spool.append(data);
      while (spool.end - spool.stored > maxUnstoredBytes) await spool.changed();
    }
    return await process.exited;
  } catch (cause) {
    if (!(cause instanceof StartFault)) throw cause;
    spool.append(Buffer.from(`${cause.message}\n`));
    return { kind: "not-started" };
  }
}

/** Pushes until the spool is closed and everything in it is stored, or the signal aborts. */
async function pushLogs(options: MainProcessOptions, signal: AbortSignal): Promise<void> {
  const { spool, sandbox, timers, logger } = options;
  const backoff = createBackoff({ firstMs: 100, maxMs: 5_000, random: options.random });
  while (!signal.aborted) {
    if (spool.stored === spool.end) {
      if (spool.closed) return;
      await Promise.race([spool.changed(), aborted(signal)]);
      continue;
    }
    try {
      const { storedOffset } = await sandbox.pushSandboxLogs(pieces(options), { signal, timeoutMs: 30_000 });
      spool.markStored(Number(storedOffset));
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
): AsyncGenerator<MessageInitShape<typeof PushSandboxLogsRequestSchema>> {
  const { spool, sandboxId, incarnation } = options;
  const end = Math.min(spool.end, spool.stored + pushBytes);
  for (let offset = spool.stored; offset < end; ) {
    const data = spool.read(offset, Math.min(chunkBytes, end - offset));
    if (data.length === 0) return;
    yield { sandboxId, incarnation, offset: BigInt(offset), data };
    offset += data.length;
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
