import type { ExecInput, ExecStart, RelayExecResponse } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import type { ManagedProcess } from "../process/managed-process.ts";
import type { ProcessTable } from "../process/process-table.ts";
import { isSignal } from "../process/signal-name.ts";
import { StartFault } from "../process/workload-command.ts";
import { pieceBytes } from "./attach-operation.ts";
import type { Answer, Operation } from "./operation.ts";

/** ExecSandbox: a process that belongs to its caller. It ends when he goes away, and nothing is kept of it then. */
export class ExecOperation implements Operation {
  readonly #table: Pick<ProcessTable, "startRelayed" | "forget">;
  readonly #started: Promise<ManagedProcess | StartFault | ServiceError>;
  readonly #egressRequests: () => number;
  #closed = false;

  constructor(options: {
    readonly table: Pick<ProcessTable, "startRelayed" | "forget">;
    readonly start: ExecStart;
    readonly egressRequests: () => number;
  }) {
    this.#table = options.table;
    this.#egressRequests = options.egressRequests;
    this.#started = options.table.startRelayed(options.start).catch((cause: unknown) => {
      if (cause instanceof StartFault || cause instanceof ServiceError) return cause;
      throw cause;
    });
    this.#started.catch(() => {}); // whoever asks for it is told
  }

  async *answers(): AsyncGenerator<Answer> {
    const process = await this.#started;
    if (process instanceof StartFault || process instanceof ServiceError) {
      yield this.#last({ case: "startFault", value: process.message });
      return;
    }
    const reader = process.output.read(0);
    while (!this.#closed) {
      const piece = reader.next(pieceBytes);
      if (piece !== undefined) {
        yield { output: { output: { case: piece.from, value: piece.data } } };
        process.acknowledge(reader.offset);
        continue;
      }
      if (process.end !== undefined) {
        const { startFault, exit } = process.end;
        yield this.#last(
          startFault === "" ? { case: "exit", value: exit ?? {} } : { case: "startFault", value: startFault },
        );
        return;
      }
      await process.output.changed();
    }
  }

  async receive({ input }: RelayExecResponse): Promise<void> {
    const process = await this.#started;
    if (input === undefined || process instanceof StartFault || process instanceof ServiceError) return;
    await deliver(process, input);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const process = await this.#started;
    if (process instanceof StartFault || process instanceof ServiceError) return;
    process.output.touch();
    process.cancel();
    await process.ended;
    this.#table.forget(process);
  }

  #last(output: NonNullable<NonNullable<Answer["output"]>["output"]>): Answer {
    return { output: { output, egressRequests: BigInt(this.#egressRequests()) } };
  }
}

async function deliver(process: ManagedProcess, { input }: ExecInput): Promise<void> {
  switch (input.case) {
    case "stdin":
      await process.write(process.inputOffset, input.value);
      return;
    case "stdinClosed":
      process.closeInput();
      return;
    case "signal":
      if (isSignal(input.value)) process.signal(input.value, "group");
      return;
    case "resize":
      process.resize(input.value);
      return;
    case undefined:
      return;
  }
}
