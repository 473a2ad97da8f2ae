const firstSize = 16 * 1024;
/** A buffer that has grown beyond this is given back after the message that needed it. */
const keptSize = 256 * 1024;
/** Up to here a loop over the characters is faster than a call into the runtime. */
const shortText = 127;

/** Collects bytes in one buffer that is used again for the next message. Numbers are protobuf varints (LEB128). */
export class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(firstSize);
  #length = 0;

  /** What `write` writes. Nothing is left of it when `write` throws. */
  collect(write: () => void): Buffer {
    try {
      write();
      const bytes = Buffer.allocUnsafe(this.#length);
      this.#buffer.copy(bytes, 0, 0, this.#length);
      return bytes;
    } finally {
      this.#length = 0;
      if (this.#buffer.length > keptSize) this.#buffer = Buffer.allocUnsafeSlow(firstSize);
    }
  }

  /** A number from 0 to 2^32 - 1. */
  varint(value: number): void {
    this.#reserve(5);
    const buffer = this.#buffer;
    let rest = value;
    while (rest > 0x7f) {
      buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[this.#length++] = rest;
  }

  /** A number of 64 bits; a negative one as its two's complement. */
  varint64(value: bigint): void {
    if (value >= 0n && value <= 0xffff_ffffn) {
      this.varint(Number(value));
      return;
    }
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  /** A text in UTF-8 with its length before it; half a surrogate pair becomes U+FFFD. */
  text(value: string): void {
    if (value.length <= shortText && this.#shortAscii(value)) return;
    const size = Buffer.byteLength(value);
    this.varint(size);
    this.#reserve(size);
    this.#length += this.#buffer.write(value, this.#length);
  }

  /** Begins something with its length before it. Answers what `close` needs. */
  open(): number {
    this.#reserve(1);
    return this.#length++; // room for a length below 128; `close` makes more
  }

  close(start: number): void {
    const from = start + 1;
    const size = this.#length - from;
    if (size <= 0x7f) {
      this.#buffer[start] = size;
      return;
    }
    let more = 0;
    for (let rest = size >>> 7; rest > 0; rest >>>= 7) more++;
    this.#reserve(more);
    this.#buffer.copyWithin(from + more, from, this.#length);
    this.#length = start;
    this.varint(size);
    this.#length += size;
  }

  /** Writes nothing and answers false when the text is not ASCII. */
  #shortAscii(value: string): boolean {
    const size = value.length;
    this.#reserve(size + 1);
    const buffer = this.#buffer;
    let at = this.#length + 1;
    for (let index = 0; index < size; index++) {
      const code = value.charCodeAt(index);
      if (code > 0x7f) return false;
      buffer[at++] = code;
    }
    buffer[this.#length] = size;
    this.#length = at;
    return true;
  }

  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
