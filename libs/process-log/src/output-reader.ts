import { readSync } from "node:fs";

/** Which standard stream a process wrote to. */
export type OutputSource = "stdout" | "stderr";

/** A piece of output, of one stream. */
export interface OutputChunk {
  /** Where it begins in the bytes of both streams together. */
  readonly offset: number;
  readonly from: OutputSource;
  readonly data: Buffer;
}

/** One file of output: frames, each of a byte for the stream, four for the length, and the data. */
export interface OutputSegment {
  /** The offset of its first byte of output. */
  readonly start: number;
  readonly fd: number;
  /** How long the file is, as far as it is written. */
  readonly fileBytes: number;
}

/** Before the data of a frame. */
const frameHeaderBytes = 5;

const sources: readonly OutputSource[] = ["stdout", "stderr"];

/** The header of a frame. */
export function frameHeader(from: OutputSource, lengthBytes: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt8(sources.indexOf(from), 0);
  header.writeUInt32LE(lengthBytes, 1);
  return header;
}

/** Reads output from an offset on, in order. What was dropped meanwhile is passed over: the next piece says where it begins. */
export class OutputReader {
  /** Oldest first; each begins where the one before ends. */
  readonly #segments: () => readonly OutputSegment[];
  /** What lies before this was not asked for. */
  readonly #wanted: number;
  #offset: number;
  /** The open file, and where in it the next byte is. */
  #segmentStart: number | undefined;
  #position = 0;
  /** What is left of the frame at that place. */
  #left = 0;
  #from: OutputSource = "stdout";

  constructor(segments: () => readonly OutputSegment[], options: { readonly offset: number; readonly end: number }) {
    this.#segments = segments;
    this.#wanted = options.offset;
    this.#offset = Math.min(options.offset, options.end);
  }

  /** Where the next piece begins, unless it has been dropped. */
  get offset(): number {
    return this.#offset;
  }

  /** The next piece, at most so long; undefined where nothing is written yet. */
  next(maxBytes: number): OutputChunk | undefined {
    for (;;) {
      const segment = this.#open();
      if (segment === undefined) return undefined;
      const chunk = this.#read(segment, maxBytes);
      if (chunk !== undefined) {
        const before = Math.max(0, this.#wanted - chunk.offset);
        if (before >= chunk.data.length) continue;
        return before === 0 ? chunk : { ...chunk, offset: this.#wanted, data: chunk.data.subarray(before) };
      }
      if (!this.#leave(segment)) return undefined;
    }
  }

  /** The file with the next byte, and our place in it. */
  #open(): OutputSegment | undefined {
    const segments = this.#segments();
    const [first] = segments;
    if (first === undefined) return undefined;
    if (this.#offset < first.start) {
      this.#offset = first.start;
      this.#segmentStart = undefined;
    }
    const open = segments.find(({ start }) => start === this.#segmentStart);
    if (open !== undefined) return open;
    const segment = segments.findLast(({ start }) => start <= this.#offset) ?? first;
    this.#segmentStart = segment.start;
    this.#position = 0;
    this.#left = 0;
    this.#skip(segment, this.#offset - segment.start);
    return segment;
  }

  /** Passes over so many bytes of output; stops where nothing more is written. */
  #skip(segment: OutputSegment, bytes: number): void {
    this.#offset -= bytes;
    for (let left = bytes; left > 0; ) {
      if (this.#left === 0 && !this.#enter(readBlock(segment, this.#position, frameHeaderBytes))) break;
      const step = Math.min(left, this.#left, segment.fileBytes - this.#position);
      if (step <= 0) break;
      this.#advance(step);
      left -= step;
    }
  }

  #read(segment: OutputSegment, maxBytes: number): OutputChunk | undefined {
    const data = Buffer.allocUnsafeSlow(Math.min(maxBytes, Math.max(0, segment.fileBytes - this.#position)));
    const { offset } = this;
    let source: OutputSource | undefined;
    let length = 0;
    while (length < data.length) {
      if (this.#left === 0) {
        const position = this.#position;
        if (!this.#enter(readBlock(segment, position, frameHeaderBytes))) break;
        if (source !== undefined && this.#from !== source) {
          // another stream's: the next piece
          this.#position = position;
          this.#left = 0;
          break;
        }
      }
      source = this.#from;
      const wanted = Math.min(this.#left, data.length - length, segment.fileBytes - this.#position);
      const read = wanted <= 0 ? 0 : readSync(segment.fd, data, length, wanted, this.#position);
      if (read === 0) break;
      length += read;
      this.#advance(read);
    }
    return length === 0 || source === undefined ? undefined : { offset, from: source, data: data.subarray(0, length) };
  }

  /** Goes to the next file, if there is one and this one was read to its end. */
  #leave(segment: OutputSegment): boolean {
    const next = this.#segments().find(({ start }) => start > segment.start);
    if (next === undefined) return false;
    this.#offset = next.start;
    this.#segmentStart = undefined;
    return true;
  }

  /** Reads a frame's header; false where it is not whole, or none. */
  #enter(header: Buffer): boolean {
    if (header.length < frameHeaderBytes) return false;
    const source = sources[header.readUInt8(0)];
    const length = header.readUInt32LE(1);
    if (source === undefined || length === 0) return false;
    this.#position += frameHeaderBytes;
    this.#left = length;
    this.#from = source;
    return true;
  }

  #advance(bytes: number): void {
    this.#position += bytes;
    this.#left -= bytes;
    this.#offset += bytes;
  }
}

function readBlock({ fd, fileBytes }: OutputSegment, position: number, maxBytes: number): Buffer {
  const length = Math.min(maxBytes, fileBytes - position);
  if (length <= 0) return Buffer.alloc(0);
  const block = Buffer.allocUnsafe(length);
  return block.subarray(0, readSync(fd, block, 0, length, position));
}
