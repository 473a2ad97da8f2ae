import { ConnectionLost, type SocketReader } from "../channel/socket-reader.ts";
import { Refusal } from "../decision/refusal.ts";
import type { BodyFraming } from "./body-framing.ts";
import { HeadScanner } from "./head-scanner.ts";

/** The peer closed before the end of its body. */
export class BodyTruncated extends ConnectionLost {}

const trailerLimits = { maximumBytes: 8192, maximumFields: 64 } as const;

/**
 * Yields a body's content, and returns at its end, with the reader standing at the byte after it. Chunk extensions and
 * trailers are read and dropped. Throws BodyTruncated, or Refusal where the chunks are malformed.
 */
export async function* readBody(reader: SocketReader, framing: BodyFraming): AsyncGenerator<Buffer, void, undefined> {
  switch (framing.kind) {
    case "none":
      return;
    case "length":
      yield* readExactly(reader, framing.bytes);
      return;
    case "chunked":
      yield* readChunks(reader);
      return;
    case "until-close":
      for (let bytes = await reader.read(); bytes !== undefined; bytes = await reader.read()) yield bytes;
  }
}

async function* readExactly(reader: SocketReader, length: number): AsyncGenerator<Buffer, void, undefined> {
  let left = length;
  while (left > 0) {
    const bytes = await reader.read();
    if (bytes === undefined) throw new BodyTruncated("the body ends early");
    if (bytes.length > left) reader.unread(bytes.subarray(left));
    const content = bytes.subarray(0, left);
    left -= content.length;
    yield content;
  }
}

async function* readChunks(reader: SocketReader): AsyncGenerator<Buffer, void, undefined> {
  for (;;) {
    const [, digits] = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?$/.exec(await readLine(reader)) ?? [];
    if (digits === undefined) throw Refusal.malformed("a chunk has no valid size");
    const length = Number.parseInt(digits, 16);
    if (length === 0) break;
    yield* readExactly(reader, length);
    if ((await readLine(reader)) !== "") throw Refusal.malformed("a chunk is longer than its size");
  }
  await dropTrailers(reader);
}

async function dropTrailers(reader: SocketReader): Promise<void> {
  const first = await readLine(reader);
  if (first === "") return;
  const scanner = new HeadScanner(trailerLimits);
  let chunk: Buffer | undefined = Buffer.from(`${first}\r\n`, "latin1");
  while (chunk !== undefined) {
    const end = scanner.push(chunk);
    if (end !== undefined) {
      if (end < chunk.length) reader.unread(chunk.subarray(end));
      return;
    }
    chunk = await reader.read();
  }
  throw new BodyTruncated("the trailers end early");
}

const longestLine = 4096;

/** A line that ends in CRLF, without it. Throws Refusal where it has a bare CR or LF, or is too long. */
async function readLine(reader: SocketReader): Promise<string> {
  let line = "";
  for (;;) {
    const bytes = await reader.read();
    if (bytes === undefined) throw new BodyTruncated("the body ends early");
    const end = bytes.indexOf(10);
    line += bytes.toString("latin1", 0, end < 0 ? bytes.length : end + 1);
    if (line.length > longestLine) throw Refusal.malformed("a chunk's line is too long");
    if (end < 0) continue;
    if (end + 1 < bytes.length) reader.unread(bytes.subarray(end + 1));
    if (!line.endsWith("\r\n") || line.indexOf("\r") !== line.length - 2)
      throw Refusal.malformed("a chunk's line ends without a carriage return");
    return line.slice(0, -2);
  }
}
