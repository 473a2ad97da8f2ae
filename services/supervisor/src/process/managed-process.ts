import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ExitReason,
  type Process,
  type ProcessEnd,
  ProcessEndSchema,
  ProcessSchema,
  ProcessUsageSchema,
} from "@sandgate/api/sandbox";
import type { OutputLog, OutputSource } from "@sandgate/process-log";
import { ServiceError } from "@sandgate/rpc";
import type { Timers } from "../timers.ts";
import { exitMessage } from "./exit-message.ts";
import { readOutput } from "./process-output.ts";
import type { TerminalDimensions } from "./terminal.ts";
import type { SignalledProcesses, WorkloadExit, WorkloadProcess } from "./workload-process.ts";

/** The bounds of one process. */
export interface ProcessBounds {
  readonly timeoutMs: number | undefined;
  /** It is ended when nobody was attached for so long. */
  readonly unattendedMs: number | undefined;
  /** It is ended after so much output. */
  readonly outputBytes: number | undefined;
  /** So much of its output is kept; then the oldest is dropped, or the process waits until it was acknowledged. */
  readonly keptBytes: number;
  readonly waits: boolean;
}

/** What a process is managed with. */
export interface ManagedProcessOptions {
  readonly id: string;
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly bounds: ProcessBounds;
  readonly output: OutputLog;
  readonly timers: Timers;
  /** How many requests have been passed to the egress proxy until now. */
  readonly egressRequests: () => number;
  /** How many processes the kernel has ended for want of memory. */
  readonly oomKills: () => number | undefined;
}

/** Why we ended it. */
type Cause = { readonly reason: ExitReason.TIMED_OUT | ExitReason.CANCELLED } | { readonly limit: string };

/** From a first signal to SIGKILL. */
const graceMs = 2_000;
/** What may wait for a process that does not read, before its caller has to; signals behind it have to wait as well then. */
const maxPendingInputBytes = 4 * 1024 * 1024;
const faultBytes = 400;

/** A process of the workload whose output goes to files, and which anybody can follow, feed and end until it has ended. */
export class ManagedProcess {
  readonly id: string;
  readonly output: OutputLog;
  readonly bounds: ProcessBounds;
  /** When it has ended and everything that it wrote is in the files. */
  readonly ended: Promise<ProcessEnd>;
  readonly #options: ManagedProcessOptions;
  readonly #process: WorkloadProcess;
  readonly #startTimeMs: number;
  readonly #oomKills: number | undefined;
  readonly #over = new AbortController();
  #attached = 0;
  #acknowledged = 0;
  #inputOffset = 0;
  #inputClosed = false;
  #cause: Cause | undefined;
  #killed = false;
  #exited = false;
  #full = false;
  #end: ProcessEnd | undefined;
  #left: AbortController | undefined;

  constructor(process: WorkloadProcess, options: ManagedProcessOptions) {
    this.id = options.id;
    this.output = options.output;
    this.bounds = options.bounds;
    this.#options = options;
    this.#process = process;
    this.#startTimeMs = options.timers.now();
    this.#oomKills = options.oomKills();
    void process.exited.then(() => {
      this.#exited = true;
      this.output.touch();
    });
    this.ended = this.#run();
    this.#limitTime();
    this.#noteUnattended();
  }

  /** How it ended, once `ended` has resolved. */
  get end(): ProcessEnd | undefined {
    return this.#end;
  }

  /** As the control plane is told of it. */
  describe(): Process {
    return create(ProcessSchema, {
      processId: this.id,
      command: [...this.#options.command],
      terminal: this.#options.terminal,
      startTime: timestampFromMs(this.#startTimeMs),
      outputOffset: BigInt(this.output.start),
      outputEndOffset: BigInt(this.output.end),
      inputOffset: BigInt(this.#inputOffset),
      attached: this.#attached,
      ...(this.#end !== undefined && { end: this.#end }),
    });
  }

  /** The same, with what it uses. */
  describeUsage(): Process {
    const process = this.describe();
    const usage = this.#end === undefined ? this.#process.usage() : undefined;
    if (usage !== undefined)
      process.usage = create(ProcessUsageSchema, {
        processes: usage.processes,
        cpuTime: durationFromMs(usage.cpuTimeMs),
        memoryBytes: BigInt(usage.memoryBytes),
      });
    return process;
  }

  get attached(): number {
    return this.#attached;
  }

  /** Somebody follows it, until the function is called that is answered. */
  attach(): () => void {
    this.#attached += 1;
    this.#left?.abort();
    this.#left = undefined;
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      this.#attached -= 1;
      this.#noteUnattended();
    };
  }

  /** What lies before this offset may be dropped. */
  acknowledge(offset: number): void {
    if (offset <= this.#acknowledged) return;
    this.#acknowledged = Math.min(offset, this.output.end);
    this.output.touch();
  }

  /**
   * Takes what lies behind the input that it was given already, and answers the new end of that. Waits while the process does not read.
   * Throws REQUEST_INVALID where input would be missing in between.
   */
  async write(offset: number, data: Uint8Array): Promise<number> {
    if (offset < 0 || offset > this.#inputOffset)
      throw new ServiceError("REQUEST_INVALID", "there is a gap before this input", {
        field: "input.offset",
        input_offset: String(this.#inputOffset),
      });
    const fresh = data.subarray(this.#inputOffset - offset);
    this.#inputOffset += fresh.length;
    const { stdin } = this.#process;
    // a process that does not read any more loses what is written to it, as with every pipe
    if (fresh.length > 0 && stdin?.writable === true && !this.#inputClosed) {
      stdin.write(fresh, () => this.output.touch());
      if (stdin.writableLength > maxPendingInputBytes)
        await new Promise<void>((resolve) => stdin.once("drain", resolve).once("close", resolve));
    }
    return this.#inputOffset;
  }

  /** Everything before this offset need not be sent again. */
  get inputOffset(): number {
    return this.#inputOffset;
  }

  /** Everything before this offset has gone to the process; behind it lies what waits for it to read. */
  get readOffset(): number {
    return this.#inputOffset - (this.#process.stdin?.writableLength ?? 0);
  }

  /** Closes standard input. Doing it again changes nothing. */
  closeInput(): void {
    if (this.#inputClosed) return;
    // A terminal has no end of input but the character that its line discipline takes for it, and stays open behind it.
    if (this.#options.terminal) this.#process.stdin?.write("\x04");
    else {
      this.#inputClosed = true;
      this.#process.stdin?.end();
    }
  }

  signal(signal: NodeJS.Signals, target: SignalledProcesses): void {
    if (signal === "SIGKILL") this.#killed = true;
    this.#process.signal(signal, target);
  }

  resize(size: TerminalDimensions): void {
    this.#process.resize(size);
  }

  /** Ends it: nobody wants it any more. What it still writes is read, so that it can end in order. */
  cancel(): void {
    this.#endFor({ reason: ExitReason.CANCELLED }, "SIGHUP");
  }

  #endFor(cause: Cause, signal: NodeJS.Signals): void {
    if (this.#cause !== undefined || this.#exited) return;
    this.#cause = cause;
    this.output.touch();
    this.#process.signal(signal);
    if (!this.#options.terminal) this.#process.stdin?.destroy(); // a terminal is one stream for both
    void this.#options.timers.wait(graceMs, this.#over.signal).then(() => this.#process.kill());
  }

  async #run(): Promise<ProcessEnd> {
    const { output, bounds } = this;
    for await (const { from, data } of readOutput(this.#process)) {
      const room = bounds.outputBytes === undefined ? data.length : Math.max(0, bounds.outputBytes - output.end);
      this.#append(from, data.subarray(0, room));
      if (room < data.length) this.#endFor({ limit: "output_bytes" }, "SIGKILL");
      await this.#bound();
    }
    const exit = await this.#process.exited;
    this.#process.discard();
    const end = create(ProcessEndSchema, {
      ...this.#describeExit(exit),
      endTime: timestampFromMs(this.#options.timers.now()),
      egressRequests: BigInt(this.#options.egressRequests()),
    });
    this.#end = end;
    this.#over.abort();
    output.close();
    return end;
  }

  /** Where there is no room for its output it is ended: nothing of what it wrote may be missing in between. */
  #append(from: OutputSource, data: Uint8Array): void {
    if (this.#full) return;
    try {
      this.output.append(from, data);
    } catch {
      this.#full = true;
      this.#endFor({ limit: "disk" }, "SIGKILL");
    }
  }

  /** Drops what is too much, or waits until that may be done. */
  async #bound(): Promise<void> {
    const { output, bounds } = this;
    while (output.sizeBytes > bounds.keptBytes) {
      if (!bounds.waits || this.#cause !== undefined) {
        output.dropOldest(); // also where it is being ended: it must not wait then
        continue;
      }
      output.dropBefore(this.#acknowledged);
      // what is left in the pipes of a process that has ended is little
      if (output.sizeBytes <= bounds.keptBytes || this.#exited) return;
      await output.changed();
    }
  }

  #describeExit(exit: WorkloadExit): MessageInitShape<typeof ProcessEndSchema> {
    const plain = exitMessage(exit);
    if (exit.kind === "not-started") return { exit: plain, startFault: this.#readFault() };
    if (this.#cause !== undefined)
      return {
        exit:
          "limit" in this.#cause
            ? { ...plain, reason: ExitReason.LIMIT, limit: this.#cause.limit }
            : { ...plain, reason: this.#cause.reason },
      };
    if (exit.kind !== "signalled") return { exit: plain };
    switch (exit.signal) {
      case "SIGXFSZ":
        return { exit: { ...plain, reason: ExitReason.LIMIT, limit: "file_size" } };
      case "SIGXCPU":
        return { exit: { ...plain, reason: ExitReason.LIMIT, limit: "cpu" } };
      case "SIGKILL": {
        const [before, after] = [this.#oomKills, this.#options.oomKills()];
        const outOfMemory = !this.#killed && before !== undefined && after !== undefined && after > before;
        return { exit: outOfMemory ? { ...plain, reason: ExitReason.OUT_OF_MEMORY } : plain };
      }
      default:
        return { exit: plain };
    }
  }

  /** What the sandbox program said. */
  #readFault(): string {
    const reader = this.output.read(Math.max(this.output.start, this.output.end - faultBytes));
    let text = "";
    for (let chunk = reader.next(faultBytes); chunk !== undefined; chunk = reader.next(faultBytes))
      text += chunk.data.toString("utf8");
    return text.trim() || "the process could not be started";
  }

  #limitTime(): void {
    const { timeoutMs } = this.bounds;
    if (timeoutMs === undefined) return;
    void this.#options.timers.wait(timeoutMs, this.#over.signal).then(() => {
      if (!this.#over.signal.aborted) this.#endFor({ reason: ExitReason.TIMED_OUT }, "SIGTERM");
    });
  }

  #noteUnattended(): void {
    const { unattendedMs } = this.bounds;
    if (unattendedMs === undefined || this.#attached > 0 || this.#end !== undefined) return;
    const left = new AbortController();
    this.#left = left;
    const signal = AbortSignal.any([left.signal, this.#over.signal]);
    void this.#options.timers.wait(unattendedMs, signal).then(() => {
      if (!signal.aborted) this.cancel();
    });
  }
}
