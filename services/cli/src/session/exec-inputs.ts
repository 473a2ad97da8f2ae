import type { Readable } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExecInputSchema, ExecSandboxRequestSchema } from "@sandgate/api/sandbox";

type Request = MessageInitShape<typeof ExecSandboxRequestSchema>;
type Input = NonNullable<MessageInitShape<typeof ExecInputSchema>["input"]>;

/** More than this in one message would only delay what comes after it. */
const largestChunkBytes = 256 * 1024;

/**
 * The requests of one exec: its start, then standard input as fast as the call takes it. Signals and resizes overtake
 * standard input. Nothing is read from `stdin` before the call asks for it.
 */
export class ExecInputs implements AsyncIterable<Request> {
  readonly #first: Request;
  readonly #stdin: Readable | undefined;
  readonly #urgent: Input[] = [];
  #stdinOpen = true;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(first: Request, stdin: Readable | undefined) {
    this.#first = first;
    this.#stdin = stdin;
  }

  /** Sends a signal, SIGINT for example. */
  signal(name: string): void {
    this.#push({ case: "signal", value: name });
  }

  /** Tells the terminal's new size. */
  resize(size: { rows: number; columns: number }): void {
    this.#push({ case: "resize", value: size });
  }

  /** Ends the requests. */
  end(): void {
    this.#ended = true;
    this.#awaken();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request> {
    yield this.#first;
    const stdin = this.#stdin;
    const awaken = () => this.#awaken();
    if (stdin !== undefined) for (const event of ["readable", "end", "error", "close"]) stdin.on(event, awaken);
    try {
      for (;;) {
        const input = this.#next();
        if (input !== undefined) yield { message: { case: "input", value: { input } } };
        else if (this.#ended) return;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      if (stdin !== undefined) for (const event of ["readable", "end", "error", "close"]) stdin.off(event, awaken);
    }
  }

  #next(): Input | undefined {
    const urgent = this.#urgent.shift();
    if (urgent !== undefined) return urgent;
    if (!this.#stdinOpen || this.#ended) return undefined;
    const stdin = this.#stdin;
    const chunk: Buffer | null = stdin === undefined ? null : readChunk(stdin);
    if (chunk !== null) return { case: "stdin", value: chunk };
    if (stdin !== undefined && !stdin.readableEnded && !stdin.destroyed) return undefined;
    this.#stdinOpen = false;
    return { case: "stdinClosed", value: true };
  }

  #push(input: Input): void {
    if (this.#ended) return;
    this.#urgent.push(input);
    this.#awaken();
  }

  #awaken(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function readChunk(stdin: Readable): Buffer | null {
  const available = stdin.readableLength;
  const chunk: Buffer | null = stdin.read(available > largestChunkBytes ? largestChunkBytes : undefined);
  return chunk;
}
