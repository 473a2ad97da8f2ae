import type { Readable } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AttachProcessRequestSchema } from "@sandgate/api/sandbox";

type Request = MessageInitShape<typeof AttachProcessRequestSchema>;
type Message = NonNullable<Request["message"]>;

/** More than this in one message would only delay what comes after it. */
const largestChunkBytes = 256 * 1024;
/** Nothing more is read from standard input while so much of it was not taken yet. */
const mostPendingBytes = 1024 * 1024;
/** Ctrl-P, Ctrl-Q: what leaves a process to itself, as in other such tools. */
const detachKeys = "\x10\x11";

/** A piece of standard input that may have to be sent again. */
interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
}

/**
 * What a caller has for a process: standard input as fast as it is taken, signals, sizes and acknowledgements, which overtake it. It outlives
 * the calls that carry it: input that was not taken is sent again by the next one. Nothing is read from `stdin` before a call asks for it.
 */
export class ProcessInputs {
  readonly #stdin: Readable | undefined;
  readonly #onDetach: (() => void) | undefined;
  readonly #keepOpen: boolean;
  readonly #signals: string[] = [];
  #size: { readonly rows: number; readonly columns: number } | undefined;
  #acknowledged: number | undefined;
  /** Sent, but not known to be taken; in order. */
  #pending: Piece[] = [];
  /** How many of those the present call has sent. */
  #sent = 0;
  /** Where what is read next begins; undefined until the process has said what it was given before. */
  #end: number | undefined;
  #closed = false;
  #closeSent = false;
  #call = 0;
  #lastKey = "";
  #wake: (() => void) | undefined;

  /** With `onDetach`, Ctrl-P Ctrl-Q calls it and is not passed on; with `keepOpen`, having no `stdin` closes nothing. */
  constructor(
    stdin: Readable | undefined,
    options: { readonly onDetach?: (() => void) | undefined; readonly keepOpen?: boolean } = {},
  ) {
    this.#stdin = stdin;
    this.#onDetach = options.onDetach;
    this.#keepOpen = options.keepOpen === true;
  }

  /** Sends a signal, SIGINT for example. */
  signal(name: string): void {
    this.#signals.push(name);
    this.#awaken();
  }

  /** Tells the terminal's new size. */
  resize(size: { readonly rows: number; readonly columns: number }): void {
    this.#size = size;
    this.#awaken();
  }

  /** Output before this offset will not be asked for again. */
  acknowledge(offset: number): void {
    this.#acknowledged = offset;
    this.#awaken();
  }

  /** The process was given everything before this offset. */
  taken(offset: number): void {
    this.#end ??= offset;
    for (let [piece] = this.#pending; piece !== undefined; [piece] = this.#pending) {
      if (piece.offset + piece.data.length > offset) break;
      this.#pending.shift();
      this.#sent = Math.max(0, this.#sent - 1);
    }
    this.#awaken();
  }

  /** The requests of one call. Those of an earlier one end. */
  async *requests(first: Request): AsyncGenerator<Request> {
    this.#call += 1;
    const call = this.#call;
    this.#sent = 0;
    this.#closeSent = false;
    this.#awaken();
    yield first;
    const stdin = this.#stdin;
    const awaken = () => this.#awaken();
    const events = ["readable", "end", "error", "close"];
    if (stdin !== undefined) for (const event of events) stdin.on(event, awaken);
    try {
      while (this.#call === call) {
        const message = this.#next();
        if (message !== undefined) yield { message };
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      if (stdin !== undefined) for (const event of events) stdin.off(event, awaken);
    }
  }

  /** Ends the requests. */
  end(): void {
    this.#call += 1;
    this.#awaken();
  }

  #next(): Message | undefined {
    const signal = this.#signals.shift();
    if (signal !== undefined) return { case: "signal", value: signal };
    if (this.#size !== undefined) {
      const { rows, columns } = this.#size;
      this.#size = undefined;
      return { case: "resize", value: { rows, columns } };
    }
    if (this.#acknowledged !== undefined) {
      const value = BigInt(this.#acknowledged);
      this.#acknowledged = undefined;
      return { case: "acknowledgedOffset", value };
    }
    return this.#nextInput();
  }

  #nextInput(): Message | undefined {
    if (this.#end === undefined) return undefined;
    if (this.#sent === this.#pending.length) this.#read();
    const piece = this.#pending[this.#sent];
    if (piece !== undefined) {
      this.#sent += 1;
      return { case: "input", value: { offset: BigInt(piece.offset), data: piece.data } };
    }
    if (!this.#closed || this.#closeSent) return undefined;
    this.#closeSent = true;
    return { case: "input", value: { offset: BigInt(this.#end), close: true } };
  }

  /** Takes what there is of standard input, or notes its end. */
  #read(): void {
    if (this.#closed || this.#end === undefined) return;
    const stdin = this.#stdin;
    const pendingBytes = this.#pending.reduce((sum, { data }) => sum + data.length, 0);
    if (pendingBytes >= mostPendingBytes) return;
    const chunk = stdin === undefined ? null : readChunk(stdin);
    if (chunk !== null) {
      const data = this.#onDetach === undefined ? chunk : this.#watchKeys(chunk, this.#onDetach);
      if (data.length === 0) return;
      this.#pending.push({ offset: this.#end, data });
      this.#end += data.length;
    } else if (stdin === undefined ? !this.#keepOpen : stdin.readableEnded || stdin.destroyed) this.#closed = true;
  }

  /** Keeps the first of the two keys back until it is known what follows it. */
  #watchKeys(chunk: Buffer, onDetach: () => void): Uint8Array {
    const text = this.#lastKey + chunk.toString("latin1");
    const at = text.indexOf(detachKeys);
    if (at >= 0) {
      onDetach();
      return Buffer.from(text.slice(0, at), "latin1");
    }
    this.#lastKey = text.endsWith(detachKeys.slice(0, 1)) ? detachKeys.slice(0, 1) : "";
    return Buffer.from(text.slice(0, text.length - this.#lastKey.length), "latin1");
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
