import type { Writable } from "node:stream";

/** Writes and waits for room, so that a slow reader slows the writer. Resolves false when the reader is gone. */
export async function writeWithBackpressure(stream: Writable, data: Uint8Array | string): Promise<boolean> {
  if (stream.destroyed || stream.writableEnded || stream.errored !== null) return false;
  if (stream.write(data)) return true;
  return new Promise((resolve) => {
    const settle = (open: boolean) => {
      stream.off("drain", drained);
      stream.off("close", closed);
      stream.off("error", closed);
      resolve(open);
    };
    const drained = () => settle(true);
    const closed = () => settle(false);
    stream.on("drain", drained);
    stream.on("close", closed);
    stream.on("error", closed);
  });
}

/** Resolves when everything written has been handed to the system. */
export async function flush(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableLength === 0) return;
  await new Promise<void>((resolve) => {
    stream.write("", () => resolve());
    stream.once("close", () => resolve());
    stream.once("error", () => resolve());
  });
}
