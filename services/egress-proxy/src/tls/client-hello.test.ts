import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readClientHello } from "./client-hello.ts";

/** The ClientHello that Node's own client sends. */
async function captureHello(servername: string): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  const first = new Promise<Buffer>((resolve) => {
    server.once("connection", (socket) => {
      let bytes = Buffer.alloc(0);
      socket.on("error", () => undefined);
      socket.on("data", (more: Buffer) => {
        bytes = Buffer.concat([bytes, more]);
        if (readClientHello(bytes).kind === "hello") resolve(bytes);
      });
    });
  });
  const socket = connect(address.port, "127.0.0.1");
  const client = connectTls({ socket, servername });
  client.on("error", () => undefined);
  const bytes = await first;
  client.destroy();
  socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return bytes;
}

const hello = await captureHello("api.example.test");

describe("reading a ClientHello", () => {
  it("finds the server name in that of Node's client (T01, T08)", () => {
    expect(hello.length).toBeGreaterThan(1460);
    expect(readClientHello(hello)).toEqual({ kind: "hello", serverName: "api.example.test" });
  });

  it("waits for the rest wherever it is cut", () => {
    for (let length = 0; length < hello.length; length++)
      expect(readClientHello(hello.subarray(0, length))).toEqual({ kind: "incomplete" });
  });

  it("reads it the same from records of any length (T07)", () => {
    const handshake = hello.subarray(5);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), (step) => {
        const records: Buffer[] = [];
        for (let at = 0; at < handshake.length; at += step) {
          const content = handshake.subarray(at, at + step);
          records.push(Buffer.from([22, 3, 1, content.length >> 8, content.length & 255]), content);
        }
        expect(readClientHello(Buffer.concat(records))).toEqual({ kind: "hello", serverName: "api.example.test" });
      }),
    );
  });

  it("ignores what follows it, and refuses what comes within it", () => {
    const alert = Buffer.from([21, 3, 3, 0, 2, 1, 0]);
    expect(readClientHello(Buffer.concat([hello, alert])).kind).toBe("hello");
    const cut = Buffer.concat([Buffer.from([22, 3, 1, 0, 10]), hello.subarray(5, 15), alert]);
    expect(readClientHello(cut).kind).toBe("invalid");
  });

  it("never throws, whatever byte is another", () => {
    fc.assert(
      fc.property(fc.nat(hello.length - 1), fc.nat(255), fc.nat(hello.length), (at, value, length) => {
        const changed = Buffer.from(hello);
        changed[at] = value;
        readClientHello(changed);
        readClientHello(changed.subarray(0, length));
      }),
      { numRuns: 3000 },
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void readClientHello(Buffer.from(bytes))));
  });
});
