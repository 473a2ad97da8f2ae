import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "./names-in.ts";
import { OutputReader, type OutputSegment } from "./output-reader.ts";

/** The output of a process whose supervisor does not write any more, read from its files. To be closed. */
export class KeptOutput {
  readonly #segments: readonly OutputSegment[];
  readonly end: number;

  private constructor(segments: readonly OutputSegment[]) {
    this.#segments = segments;
    const last = segments.at(-1);
    this.end = 0;
    if (last === undefined) return;
    const reader = new OutputReader(() => segments, { offset: last.start, end: last.start });
    while (reader.next(1024 * 1024) !== undefined);
    this.end = reader.offset;
  }

  /** Opens what is there. Whoever made the files is not trusted: what is not a plain file of this directory is passed over. */
  static open(directory: string, name: string): KeptOutput {
    const segments: OutputSegment[] = [];
    for (const { start, path } of filesOf(directory, name)) {
      const file = openPlainFile(path);
      if (file === undefined) continue;
      if (file.fileBytes <= mostFileBytes) segments.push({ start, ...file });
      else closeSync(file.fd);
    }
    return new KeptOutput(segments);
  }

  /** The offset of the oldest byte that is kept. */
  get start(): number {
    return this.#segments[0]?.start ?? 0;
  }

  read(offset: number): OutputReader {
    return new OutputReader(() => this.#segments, { offset, end: this.end });
  }

  close(): void {
    for (const { fd } of this.#segments) closeSync(fd);
  }
}

/** More or larger files than these are not a supervisor's: whoever reads them must not be held up. */
const mostFiles = 64;
const mostFileBytes = 32 * 1024 * 1024;

function filesOf(directory: string, name: string): { readonly start: number; readonly path: string }[] {
  return namesIn(directory)
    .filter((file) => file.startsWith(`${name}.`) && /\.[0-9]{1,15}\.out$/.test(file))
    .map((file) => ({ start: Number(file.slice(name.length + 1, -".out".length)), path: join(directory, file) }))
    .filter(({ start }) => Number.isSafeInteger(start))
    .sort((one, other) => one.start - other.start)
    .slice(0, mostFiles);
}

/** Opens a file that may have been put there by somebody else: no link is followed, and nothing waits for the other end of a pipe. */
export function openPlainFile(path: string): { readonly fd: number; readonly fileBytes: number } | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined; // a link, or gone
  }
  const status = fstatSync(fd);
  if (status.isFile()) return { fd, fileBytes: status.size };
  closeSync(fd);
  return undefined;
}
