/** An extension of a ClientHello. */
export interface Extension {
  readonly type: number;
  readonly content: Buffer;
}

/** A server_name extension with these host names. */
export function serverNameExtension(...names: string[]): Extension {
  const entries = names.map((name) => Buffer.concat([Buffer.of(0), vector(2, Buffer.from(name, "utf8"))]));
  return { type: 0, content: vector(2, Buffer.concat(entries)) };
}

/** The records of a ClientHello; `extensions` undefined leaves their block out. */
export function clientHello(options: {
  readonly extensions: readonly Extension[] | undefined;
  readonly recordLength?: number;
  readonly recordVersion?: number;
  /** Added to the length that the handshake header gives. */
  readonly lengthChange?: number;
}): Buffer {
  const extensions = options.extensions?.map(({ type, content }) =>
    Buffer.concat([number(2, type), vector(2, content)]),
  );
  const body = Buffer.concat([
    number(2, 0x0303),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02])),
    vector(1, Buffer.of(0)),
    ...(extensions === undefined ? [] : [vector(2, Buffer.concat(extensions))]),
  ]);
  const handshake = Buffer.concat([Buffer.of(1), number(3, body.length + (options.lengthChange ?? 0)), body]);
  const records: Buffer[] = [];
  const step = options.recordLength ?? handshake.length;
  for (let at = 0; at < handshake.length; at += step) {
    const content = handshake.subarray(at, at + step);
    records.push(Buffer.of(22), number(2, options.recordVersion ?? 0x0303), vector(2, content));
  }
  return Buffer.concat(records);
}

/** SSLv2's own form of a ClientHello. */
export const sslv2Hello = Buffer.from([
  0x80,
  0x2e,
  1,
  3,
  1,
  0,
  3,
  0,
  0,
  0,
  0x10,
  1,
  0,
  0x80,
  ...Array<number>(16).fill(1),
]);

/** A DTLS 1.2 record. */
export const dtlsHello = Buffer.from([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0]);

function number(width: number, value: number): Buffer {
  const bytes = Buffer.alloc(width);
  bytes.writeUIntBE(value, 0, width);
  return bytes;
}

function vector(width: number, content: Buffer): Buffer {
  return Buffer.concat([number(width, content.length), content]);
}
