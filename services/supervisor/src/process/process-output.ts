import type { Readable } from "node:stream";
import type { WorkloadProcess } from "./workload-process.ts";

/** A piece of a process's output. */
export interface OutputPiece {
  readonly from: "stdout" | "stderr";
  readonly data: Buffer;
}

const highWaterBytes = 256 * 1024;

/** What a process writes, in the order of arrival, until both streams end. A reader who is slow makes the process wait. */
export async function* readOutput(process: Pick<WorkloadProcess, "stdout" | "stderr">): AsyncGenerator<OutputPiece> {
  const pieces: OutputPiece[] = [];
  let bytes = 0;
  let open = 0;
  let wake: () => void = () => {};
  const streams: Readable[] = [];
  const follow = (from: OutputPiece["from"], stream: Readable | undefined): void => {
    if (stream === undefined || stream.closed) return;
    open += 1;
    streams.push(stream);
    stream.on("data", (data: Buffer) => {
      pieces.push({ from, data });
      bytes += data.length;
      if (bytes >= highWaterBytes) for (const each of streams) each.pause();
      wake();
    });
    stream.once("close", () => {
      open -= 1;
      wake();
    });
  };
  follow("stdout", process.stdout);
  follow("stderr", process.stderr);
  for (;;) {
    const piece = pieces.shift();
    if (piece !== undefined) {
      bytes -= piece.data.length;
      yield piece;
      if (bytes < highWaterBytes) for (const stream of streams) stream.resume();
      continue;
    }
    if (open === 0) return;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}
