import { type AttachProcessRequest, OutputStream, type RelayExecResponse } from "@sandgate/api/sandbox";
import type { OutputSource } from "@sandgate/process-log";
import type { ManagedProcess } from "../process/managed-process.ts";
import { requireSignal } from "../process/signal-name.ts";
import type { Answer, Operation } from "./operation.ts";

/** How much output goes into one message. */
export const pieceBytes = 128 * 1024;

/** AttachProcess: follows a process from an offset on, and passes on what its caller has for it. */
export class AttachOperation implements Operation {
  readonly #process: ManagedProcess;
  readonly #offset: number;
  readonly #detach: () => void;
  #toldInput: number;
  #closed = false;

  constructor(process: ManagedProcess, offset: number) {
    this.#process = process;
    this.#offset = offset;
    this.#detach = process.attach();
    this.#toldInput = process.readOffset;
  }

  async *answers(): AsyncGenerator<Answer> {
    const process = this.#process;
    yield attachAnswer({ case: "process", value: process.describe() });
    const reader = process.output.read(this.#offset);
    while (!this.#closed) {
      // not what was taken but what was read: who sends on only behind that never makes his acknowledgements wait behind his input
      if (this.#toldInput < process.readOffset) {
        this.#toldInput = process.readOffset;
        yield attachAnswer({ case: "inputOffset", value: BigInt(this.#toldInput) });
      }
      const piece = reader.next(pieceBytes);
      if (piece !== undefined) {
        const { offset, from, data } = piece;
        yield attachAnswer({ case: "output", value: { offset: BigInt(offset), stream: streamOf(from), data } });
        continue;
      }
      if (process.end !== undefined) {
        yield attachAnswer({ case: "end", value: process.end });
        return;
      }
      await process.output.changed();
    }
  }

  async receive({ message }: RelayExecResponse): Promise<void> {
    if (message.case !== "attachProcess") return;
    await this.#obey(message.value.message);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#detach();
    this.#process.output.touch();
  }

  async #obey(message: AttachProcessRequest["message"]): Promise<void> {
    const process = this.#process;
    switch (message.case) {
      case "input":
        await process.write(Number(message.value.offset), message.value.data);
        if (message.value.close) process.closeInput();
        process.output.touch();
        return;
      case "acknowledgedOffset":
        process.acknowledge(Number(message.value));
        return;
      case "signal":
        process.signal(requireSignal(message.value), "group");
        return;
      case "resize":
        process.resize(message.value);
        return;
      case "attach":
      case undefined:
        return;
    }
  }
}

/** A message of AttachProcess. */
export function attachAnswer(
  event: NonNullable<Extract<NonNullable<Answer["answer"]>, { case: "attachProcess" }>["value"]["event"]>,
): Answer {
  return { answer: { case: "attachProcess", value: { event } } };
}

/** A stream's name in the contract. */
export function streamOf(from: OutputSource): OutputStream {
  return from === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR;
}
