import type { Process } from "@sandgate/api/sandbox";
import { KeptOutput } from "@sandgate/process-log";
import { attachAnswer, pieceBytes, streamOf } from "./attach-operation.ts";
import type { Answer, Operation } from "./operation.ts";

/** AttachProcess: what an earlier supervisor of this sandbox kept of a process. */
export class AttachPastOperation implements Operation {
  readonly #process: Process;
  readonly #offset: number;
  readonly #directory: string;

  constructor(options: { readonly process: Process; readonly offset: number; readonly directory: string }) {
    this.#process = options.process;
    this.#offset = options.offset;
    this.#directory = options.directory;
  }

  async *answers(): AsyncGenerator<Answer> {
    const { processId, end } = this.#process;
    yield attachAnswer({ case: "process", value: this.#process });
    const output = KeptOutput.open(this.#directory, processId);
    try {
      const reader = output.read(this.#offset);
      for (let piece = reader.next(pieceBytes); piece !== undefined; piece = reader.next(pieceBytes)) {
        const { offset, from, data } = piece;
        yield attachAnswer({ case: "output", value: { offset: BigInt(offset), stream: streamOf(from), data } });
      }
    } finally {
      output.close();
    }
    yield attachAnswer({ case: "end", value: end ?? {} });
  }
}
