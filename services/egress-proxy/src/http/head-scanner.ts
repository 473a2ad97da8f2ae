import { Refusal } from "../decision/refusal.ts";

/** How long a head may be. */
export interface HeadLimits {
  readonly maximumBytes: number;
  readonly maximumFields: number;
}

const tab = 9;
const lineFeed = 10;
const carriageReturn = 13;
const space = 32;
const del = 127;

/**
 * Finds the end of a message head in bytes as they arrive. Lines end in CRLF and in nothing else; control bytes, an empty
 * first line and folded lines are refused at the byte where they appear, so that no later reader can see another message
 * than this one. Throws Refusal.
 */
export class HeadScanner {
  readonly #limits: HeadLimits;
  readonly #chunks: Buffer[] = [];
  #previous = 0;
  #lineLength = 0;
  #lines = 0;
  #size = 0;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  /** Whether any byte has come. */
  get begun(): boolean {
    return this.#size > 0;
  }

  /** Takes bytes. Returns how many of them belong to the head once it is complete, undefined until then. */
  push(chunk: Buffer): number | undefined {
    for (let index = 0; index < chunk.length; index++) {
      if (this.#scan(chunk[index] ?? 0)) {
        this.#chunks.push(chunk.subarray(0, index + 1));
        return index + 1;
      }
    }
    this.#chunks.push(chunk);
    return undefined;
  }

  /** The lines of the complete head, one character for each byte, without their ends. */
  lines(): string[] {
    return Buffer.concat(this.#chunks)
      .toString("latin1", 0, this.#size - 4)
      .split("\r\n");
  }

  /** Whether the byte ends the head. */
  #scan(byte: number): boolean {
    this.#size++;
    if (this.#size > this.#limits.maximumBytes) throw tooLarge();
    const previous = this.#previous;
    this.#previous = byte;
    if (byte === lineFeed) {
      if (previous !== carriageReturn) throw Refusal.malformed("a line ends without a carriage return");
      const empty = this.#lineLength === 0;
      if (empty && this.#lines === 0) throw Refusal.malformed("the message begins with an empty line");
      this.#lineLength = 0;
      this.#lines++;
      if (this.#lines > this.#limits.maximumFields + 2) throw tooLarge();
      return empty;
    }
    if (previous === carriageReturn) throw Refusal.malformed("a carriage return stands alone");
    if (byte === carriageReturn) return false;
    if ((byte < space && byte !== tab) || byte === del) throw Refusal.malformed("the head has a control character");
    if (this.#lineLength === 0 && (byte === space || byte === tab)) throw Refusal.malformed("a line is folded");
    this.#lineLength++;
    return false;
  }
}

function tooLarge(): Refusal {
  return Refusal.fault(431, "request_too_large", "the head is too large");
}
