import { closeSync, openSync, readdirSync, rmSync, writeSync, writevSync } from "node:fs";
import { join } from "node:path";
import { frameHeader, OutputReader, type OutputSegment, type OutputSource } from "./output-reader.ts";

/**
 * What one process writes: append-only files that are addressed by the output's byte offset, the oldest of which can be dropped. The workload
 * cannot open them. What was appended survives the process that appended it.
 */
export class OutputLog {
  readonly #directory: string;
  readonly #name: string;
  readonly #segmentBytes: number;
  /** Oldest first; each begins where the one before it ends. */
  #segments: (OutputSegment & { readonly path: string; fileBytes: number; dataBytes: number })[] = [];
  #end = 0;
  #sizeBytes = 0;
  #closed = false;
  #wake: (() => void)[] = [];

  /** Removes what an earlier process wrote under this name. */
  static removeLeftovers(options: { readonly directory: string; readonly name: string }): void {
    for (const file of readdirSync(options.directory))
      if (file.startsWith(`${options.name}.`)) rmSync(join(options.directory, file), { force: true });
  }

  /** Makes no file before the first output. There must be none of this name. */
  constructor(options: { readonly directory: string; readonly name: string; readonly segmentBytes?: number }) {
    this.#directory = options.directory;
    this.#name = options.name;
    this.#segmentBytes = options.segmentBytes ?? 1024 * 1024;
  }

  /** The offset behind the last byte. */
  get end(): number {
    return this.#end;
  }

  /** The offset of the oldest byte that is kept. */
  get start(): number {
    return this.#segments[0]?.start ?? this.#end;
  }

  /** What the files take. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(from: OutputSource, data: Uint8Array): void {
    if (data.length === 0) return;
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.fileBytes >= this.#segmentBytes) {
      const path = join(this.#directory, `${this.#name}.${this.#end}.out`);
      segment = { start: this.#end, fd: openSync(path, "ax+", 0o600), path, fileBytes: 0, dataBytes: 0 };
      this.#segments.push(segment);
    }
    const header = frameHeader(from, data.length);
    const frameBytes = header.length + data.length;
    // one call, so that whoever reads the files does not find a header without its data
    for (let written = writevSync(segment.fd, [header, data]); written < frameBytes; )
      written += writeSync(segment.fd, data, written - header.length); // never less than a header is written
    segment.fileBytes += frameBytes;
    segment.dataBytes += data.length;
    this.#sizeBytes += frameBytes;
    this.#end += data.length;
    this.#notify();
  }

  /** Reads from an offset on; one behind the end is waited for. */
  read(offset: number): OutputReader {
    return new OutputReader(() => this.#segments, { offset, end: this.#end });
  }

  /** Drops the files in which everything is before the offset. */
  dropBefore(offset: number): void {
    for (let [segment] = this.#segments; segment !== undefined; [segment] = this.#segments) {
      if (segment.start + segment.dataBytes > offset) return;
      this.dropOldest();
    }
  }

  /** Drops the oldest file. */
  dropOldest(): void {
    const [segment] = this.#segments.splice(0, 1);
    if (segment === undefined) return;
    this.#sizeBytes -= segment.fileBytes;
    closeSync(segment.fd);
    rmSync(segment.path, { force: true });
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

  /** Drops everything. Readers find nothing more. */
  remove(): void {
    this.close();
    while (this.#segments.length > 0) this.dropOldest();
  }

  /** Resolves at the next append, drop, close or `touch`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Wakes those who wait for a change. */
  touch(): void {
    this.#notify();
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
