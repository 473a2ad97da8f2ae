import { createHash } from "node:crypto";
import { type ExecStart, OutputOverflow, type Process, type StartProcessRequest } from "@sandgate/api/sandbox";
import { describePast, OutputLog, type ProcessRecord, ProcessRecords, shortenCommand } from "@sandgate/process-log";
import { ServiceError } from "@sandgate/rpc";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import { ManagedProcess, type ProcessBounds } from "./managed-process.ts";
import type { Workload } from "./workload.ts";

/** What the table needs. */
export interface ProcessTableOptions {
  /** Out of the workload's reach. What an earlier supervisor of this sandbox left there is kept. */
  readonly directory: string;
  readonly workload: Pick<Workload, "start">;
  readonly egressRequests: () => number;
  readonly oomKills: () => number | undefined;
  readonly timers: Timers;
  /** Unguessable bytes. */
  readonly random: (sizeBytes: number) => Uint8Array;
  readonly logger: Logger;
}

const mebibyte = 1024 * 1024;
const mostRunning = 64;
/** What the output of all running processes may take. */
const mostKeptBytes = 1024 * mebibyte;
const usualKeptBytes = 16 * mebibyte;
/** Each file of output is open as long as it is kept: few and large ones for who keeps much. */
const filesOfEach = 16;
const leastFileBytes = mebibyte / 4;
/** The oldest of the ended ones are forgotten beyond this. */
const mostEnded = 64;
const mostEndedBytes = 256 * mebibyte;
/** What is kept of the output of a process that is gone with its caller. */
const relayedBytes = 4 * mebibyte;

/** The processes of a sandbox that callers have started, and what is kept of them. */
export class ProcessTable {
  readonly #options: ProcessTableOptions;
  readonly #records: ProcessRecords;
  readonly #processes = new Map<string, ManagedProcess>();
  /** Of this life, by request id. */
  readonly #started = new Map<string, { readonly hash: string; readonly process: Promise<ManagedProcess> }>();
  /** Of earlier lives. */
  readonly #past: ProcessRecord[];
  /** Places that are taken, also by those that are about to start. */
  #running = 0;
  #keptBytes = 0;

  constructor(options: ProcessTableOptions) {
    this.#options = options;
    this.#records = new ProcessRecords(options.directory);
    this.#past = this.#recall();
    this.#records.removeStrays();
  }

  /**
   * Starts a process, or answers the one that was started for this request id. Throws REQUEST_ID_REUSED where that was for another request,
   * LIMIT_REACHED where too many run, and StartFault.
   */
  async start(request: StartProcessRequest): Promise<Process> {
    const { requestId, start } = request;
    if (start === undefined) throw new ServiceError("REQUEST_INVALID", "there is no command", { field: "start" });
    const hash = hashOf(request);
    const past = this.#past.find((record) => record.requestId === requestId);
    const known = past === undefined ? this.#started.get(requestId) : undefined;
    if ((past?.requestHash ?? known?.hash ?? hash) !== hash)
      throw new ServiceError("REQUEST_ID_REUSED", "this request id was used for another request");
    if (past !== undefined) return past.process;
    if (known !== undefined) return (await known.process).describe();
    const starting = this.#launch(start, boundsOf(request));
    this.#started.set(requestId, { hash, process: starting });
    const process = await starting.catch((cause: unknown) => {
      this.#started.delete(requestId);
      throw cause;
    });
    const record = () => ({ requestId, requestHash: hash, process: process.describe() });
    this.#keep(record());
    void process.ended.then(() => {
      this.#keep(record());
      this.#prune();
    });
    return process.describe();
  }

  /** Starts a process that is gone, with its output, when `forget` is called after its end. Throws LIMIT_REACHED and StartFault. */
  startRelayed(start: ExecStart): Promise<ManagedProcess> {
    const bounds = { timeoutMs: undefined, unattendedMs: undefined, outputBytes: undefined };
    return this.#launch(start, { ...bounds, keptBytes: relayedBytes, waits: true });
  }

  /** Forgets a process that has ended. */
  forget(process: ManagedProcess): void {
    this.#processes.delete(process.id);
    process.output.remove();
  }

  /** A process of this life. */
  find(processId: string): ManagedProcess | undefined {
    return this.#processes.get(processId);
  }

  /** A process of an earlier life. */
  findPast(processId: string): Process | undefined {
    return this.#past.find(({ process }) => process.processId === processId)?.process;
  }

  /** Where the output of earlier lives is. */
  get directory(): string {
    return this.#options.directory;
  }

  /** How much the processes of this life that are known have written. */
  get outputBytes(): number {
    return [...this.#processes.values()].reduce((sum, { output }) => sum + output.end, 0);
  }

  /** All that are known, the oldest first. */
  list(): readonly Process[] {
    return [
      ...this.#past.map(({ process }) => process),
      ...[...this.#processes.values()].map((process) => process.describeUsage()),
    ].map(shortenCommand);
  }

  /** What earlier lives left, the oldest first: as much of the newest as may be kept. */
  #recall(): ProcessRecord[] {
    const recalled: ProcessRecord[] = [];
    let bytes = 0;
    for (const record of this.#records.list().toReversed()) {
      const process = describePast(this.#options.directory, record.process);
      bytes += Number(process.outputEndOffset - process.outputOffset);
      if (recalled.length < mostEnded && bytes <= mostEndedBytes) recalled.unshift({ ...record, process });
      else this.#records.remove(process.processId);
    }
    return recalled;
  }

  /** Resolves when every process that runs now has ended and that is written down. */
  async settled(): Promise<void> {
    await Promise.all([...this.#processes.values()].map(({ ended }) => ended));
  }

  async #launch(start: ExecStart, bounds: ProcessBounds): Promise<ManagedProcess> {
    const { workload, directory, timers, egressRequests, oomKills } = this.#options;
    if (this.#running >= mostRunning)
      throw new ServiceError("LIMIT_REACHED", "the sandbox runs as many processes as it may", {
        limit: String(mostRunning),
      });
    if (this.#keptBytes + bounds.keptBytes > mostKeptBytes)
      throw new ServiceError("LIMIT_REACHED", "the running processes keep as much output as they may together", {
        limit: String(mostKeptBytes),
      });
    this.#running += 1;
    this.#keptBytes += bounds.keptBytes;
    const free = (): void => {
      this.#running -= 1;
      this.#keptBytes -= bounds.keptBytes;
    };
    try {
      const { terminal } = start;
      const started = await workload.start({
        command: start.command,
        environment: start.environment,
        workingDirectory: start.workingDirectory,
        streams: terminal === undefined ? { kind: "pipes" } : { kind: "terminal", size: terminal },
      });
      const id = newProcessId(this.#options.random);
      const process = new ManagedProcess(started, {
        id,
        command: start.command,
        terminal: terminal !== undefined,
        bounds,
        output: new OutputLog({
          directory,
          name: id,
          segmentBytes: Math.max(leastFileBytes, Math.ceil(bounds.keptBytes / filesOfEach)),
        }),
        timers,
        egressRequests,
        oomKills,
      });
      this.#processes.set(id, process);
      void process.ended.then(free);
      return process;
    } catch (cause) {
      free();
      throw cause;
    }
  }

  /** Writes down what is known of a process, for whoever comes after this supervisor. */
  #keep(record: ProcessRecord): void {
    try {
      this.#records.write(record);
    } catch (cause) {
      this.#options.logger.error("a process could not be written down", { fault: String(cause) });
    }
  }

  #prune(): void {
    const ended = [...this.#processes.values()].filter(({ end }) => end !== undefined);
    let bytes = ended.reduce((sum, { output }) => sum + output.sizeBytes, 0);
    let count = ended.length + this.#past.length;
    while (count > mostEnded && this.#past.length > 0) {
      count -= 1;
      const past = this.#past.shift();
      if (past !== undefined) this.#records.remove(past.process.processId);
    }
    for (const process of ended) {
      if (count <= mostEnded && bytes <= mostEndedBytes) return;
      if (process.attached > 0) continue;
      count -= 1;
      bytes -= process.output.sizeBytes;
      this.forget(process);
      this.#records.remove(process.id);
      for (const [requestId, { process: started }] of this.#started)
        void started.then(({ id }) => id === process.id && this.#started.delete(requestId));
    }
  }
}

function hashOf({ start, limits }: StartProcessRequest): string {
  const text = JSON.stringify([start, limits], (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  return createHash("sha256").update(text).digest("hex");
}

function boundsOf({ limits }: StartProcessRequest): ProcessBounds {
  const ms = (duration: { seconds: bigint; nanos: number } | undefined): number | undefined =>
    duration === undefined ? undefined : Number(duration.seconds) * 1_000 + Math.ceil(duration.nanos / 1e6);
  const kept = Number(limits?.keptOutputBytes ?? 0n);
  const output = Number(limits?.outputBytes ?? 0n);
  return {
    timeoutMs: ms(limits?.timeout),
    unattendedMs: ms(limits?.unattendedTimeout),
    outputBytes: output === 0 ? undefined : output,
    keptBytes: kept === 0 ? usualKeptBytes : kept,
    waits: limits?.outputOverflow === OutputOverflow.WAIT,
  };
}

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

function newProcessId(random: (sizeBytes: number) => Uint8Array): string {
  return `prc-${Array.from(random(20), (byte) => alphabet[byte & 31]).join("")}`;
}
