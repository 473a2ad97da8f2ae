/** What the first bytes of a TLS connection say. */
export type ClientHello =
  | { readonly kind: "incomplete" }
  /** Not TLS, or a ClientHello that two readers could read in two ways. */
  | { readonly kind: "invalid" }
  | { readonly kind: "hello"; readonly serverName: string | undefined };

/** No more bytes than this are taken before the ClientHello must be whole. */
export const maximumHelloBytes = 65_536;

/**
 * Reads the server name from a ClientHello (RFC 8446, RFC 6066), which may be cut anywhere and spread over records. The
 * record's version is cosmetic; SSLv2 and DTLS are invalid, and so are repeated extensions and lists that hold more than
 * one name.
 */
export function readClientHello(bytes: Buffer): ClientHello {
  const handshake = joinRecords(bytes);
  if (handshake === undefined) return { kind: "invalid" };
  if (handshake.length > 0 && handshake[0] !== 1) return { kind: "invalid" };
  if (handshake.length < 4) return incomplete(bytes);
  const length = handshake.readUIntBE(1, 3);
  if (length > maximumHelloBytes) return { kind: "invalid" };
  if (handshake.length < 4 + length) return incomplete(bytes);
  try {
    return { kind: "hello", serverName: readServerName(new Cursor(handshake.subarray(4, 4 + length))) };
  } catch (error) {
    if (error instanceof OutOfBounds) return { kind: "invalid" };
    throw error;
  }
}

function incomplete(bytes: Buffer): ClientHello {
  return bytes.length >= maximumHelloBytes ? { kind: "invalid" } : { kind: "incomplete" };
}

/** The content of the handshake records, as far as they have come. Undefined where something else comes first. */
function joinRecords(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== 22) return at === 0 || !isWhole(parts) ? undefined : Buffer.concat(parts);
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return undefined;
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 16_384) return undefined;
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return Buffer.concat(parts);
}

/** Whether the records so far hold the whole ClientHello: what follows it, early data for one, is none of ours. */
function isWhole(parts: readonly Buffer[]): boolean {
  const handshake = Buffer.concat(parts);
  return handshake.length >= 4 && handshake.length >= 4 + handshake.readUIntBE(1, 3);
}

function readServerName(hello: Cursor): string | undefined {
  hello.skip(2 + 32); // legacy version, random
  hello.vector(1, 0, 32); // session id
  hello.vector(2, 2, 65_534); // cipher suites
  hello.vector(1, 1, 255); // compression methods
  if (hello.done) return undefined;
  const extensions = new Cursor(hello.vector(2, 0, 65_535));
  if (!hello.done) throw new OutOfBounds();
  const seen = new Set<number>();
  let serverName: string | undefined;
  while (!extensions.done) {
    const type = extensions.number(2);
    const content = extensions.vector(2, 0, 65_535);
    if (seen.has(type)) throw new OutOfBounds();
    seen.add(type);
    if (type === 0) serverName = readNameList(new Cursor(content));
  }
  return serverName;
}

function readNameList(extension: Cursor): string {
  const list = new Cursor(extension.vector(2, 1, 65_535));
  if (!extension.done || list.number(1) !== 0) throw new OutOfBounds();
  const name = list.vector(2, 1, 255);
  if (!list.done) throw new OutOfBounds();
  return name.toString("latin1");
}

class OutOfBounds extends Error {
  override readonly name = "OutOfBounds";
}

/** Reads fields from bytes and never past their end. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  skip(length: number): void {
    this.#take(length);
  }

  number(width: number): number {
    return this.#take(width).readUIntBE(0, width);
  }

  /** A length of `width` bytes within the bounds, and that many bytes. */
  vector(width: number, shortest: number, longest: number): Buffer {
    const length = this.number(width);
    if (length < shortest || length > longest) throw new OutOfBounds();
    return this.#take(length);
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new OutOfBounds();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
