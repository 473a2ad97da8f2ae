import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * The main process's output between the process and the control plane's store: append-only files that are addressed by the output's byte
 * offset and dropped when everything in them is stored. The workload cannot open them.
 */
export class LogSpool {
  readonly #directory: string;
  readonly #segmentBytes: number;
  /** Oldest first; each begins where the one before it ends. */
  #segments: { readonly start: number; readonly fd: number; readonly path: string; length: number }[] = [];
  #end = 0;
  #stored = 0;
  #closed = false;
  #wake: (() => void)[] = [];

  private constructor(directory: string, segmentBytes: number) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
  }

  /** Begins an empty spool; what an earlier incarnation left in the directory is dropped. */
  static async create(options: { directory: string; segmentBytes?: number }): Promise<LogSpool> {
    const directory = join(options.directory, "main");
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return new LogSpool(directory, options.segmentBytes ?? 8 * 1024 * 1024);
  }

  /** The offset behind the last byte. */
  get end(): number {
    return this.#end;
  }

  /** Everything before this offset is in the control plane's store. */
  get stored(): number {
    return this.#stored;
  }

  append(data: Uint8Array): void {
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.length >= this.#segmentBytes) {
      const path = join(this.#directory, `${this.#end}.log`);
      segment = { start: this.#end, fd: openSync(path, "ax+", 0o600), path, length: 0 };
      this.#segments.push(segment);
    }
    for (let written = 0; written < data.length; ) written += writeSync(segment.fd, data, written);
    segment.length += data.length;
    this.#end += data.length;
    this.#notify();
  }

  /** At most `maxBytes` from the offset on; empty at the end. */
  read(offset: number, maxBytes: number): Buffer {
    const segment = this.#segments.findLast((each) => each.start <= offset);
    if (segment === undefined) return Buffer.alloc(0);
    const length = Math.min(maxBytes, segment.start + segment.length - offset);
    const data = Buffer.allocUnsafe(Math.max(0, length));
    const read = length <= 0 ? 0 : readSync(segment.fd, data, 0, length, offset - segment.start);
    return data.subarray(0, read);
  }

  /** Notes that everything before the offset is stored, and drops what is not needed any more. */
  markStored(offset: number): void {
    this.#stored = Math.max(this.#stored, Math.min(offset, this.#end));
    while (this.#segments[0] !== undefined && this.#segments[0].start + this.#segments[0].length <= this.#stored) {
      const [segment] = this.#segments.splice(0, 1);
      if (segment === undefined) break;
      closeSync(segment.fd);
      rmSync(segment.path);
    }
    this.#notify();
  }

  /** Nothing will be appended any more. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves at the next append, mark or close. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
