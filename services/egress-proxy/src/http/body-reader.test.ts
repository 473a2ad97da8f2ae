import { connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { SocketReader } from "../channel/socket-reader.ts";
import { Refusal } from "../decision/refusal.ts";
import { BodyTruncated, readBody } from "./body-reader.ts";

const server = createServer({ allowHalfOpen: true });
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
afterAll(() => server.close());

/** What is read of a body sent in these pieces, and what is left behind it. */
async function read(
  pieces: readonly string[],
  framing: Parameters<typeof readBody>[1],
): Promise<{ body: string; rest: string } | string> {
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const client = connect(address.port, "127.0.0.1");
  const socket = await accepted;
  for (const piece of pieces) client.write(piece, "latin1");
  client.end();
  const reader = new SocketReader(socket);
  try {
    let body = "";
    for await (const bytes of readBody(reader, framing)) body += bytes.toString("latin1");
    let rest = "";
    for (let bytes = await reader.read(); bytes !== undefined; bytes = await reader.read())
      rest += bytes.toString("latin1");
    return { body, rest };
  } catch (error) {
    if (error instanceof Refusal) return "refused";
    if (error instanceof BodyTruncated) return "truncated";
    throw error;
  } finally {
    socket.destroy();
    client.destroy();
  }
}

const chunked = { kind: "chunked" } as const;

describe("reading a body", () => {
  it.each([
    ["5\r\nhello\r\n0\r\n\r\nNEXT", { body: "hello", rest: "NEXT" }],
    ['A;x="y"\r\n0123456789\r\n1\r\nx\r\n0\r\nTrailer: y\r\n\r\nNEXT', { body: "0123456789x", rest: "NEXT" }],
    ["0\r\n\r\n", { body: "", rest: "" }],
    ["5\r\nhel", "truncated"],
    ["5\r\nhello\r\n", "truncated"],
    ["0\r\nTrailer", "truncated"],
    ["5\nhello\n0\n\n", "refused"],
    ["5\r\nhelloX\r\n0\r\n\r\n", "refused"],
    ["-1\r\n", "refused"],
    [" 5\r\nhello\r\n0\r\n\r\n", "refused"],
    ["0x5\r\nhello\r\n0\r\n\r\n", "refused"],
    ["fffffffff\r\n", "refused"],
    ["5;a\rb\r\nhello\r\n0\r\n\r\n", "refused"],
    [`5;${"a".repeat(5000)}\r\nhello\r\n0\r\n\r\n`, "refused"],
    ["0\r\nA : b\r\n folded\r\n\r\n", "refused"],
    ["0\r\nA: \0\r\n\r\n", "refused"],
  ])("chunks %j", async (text, expected) => {
    expect(await read([text], chunked)).toEqual(expected);
  });

  it.each([
    ["hello", 5, { body: "hello", rest: "" }],
    ["helloNEXT", 5, { body: "hello", rest: "NEXT" }],
    ["hel", 5, "truncated"],
  ])("length %j of %i", async (text, bytes, expected) => {
    expect(await read([text], { kind: "length", bytes })).toEqual(expected);
  });

  it("reads chunks the same however they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ minLength: 1, unit: "binary-ascii" }), { maxLength: 5 }),
        fc.array(fc.nat(60), { maxLength: 6 }),
        async (contents, cuts) => {
          const wire = `${contents.map((content) => `${content.length.toString(16)}\r\n${content}\r\n`).join("")}0\r\n\r\nNEXT`;
          const at = [0, ...cuts.map((cut) => Math.min(cut, wire.length)).toSorted((a, b) => a - b), wire.length];
          const pieces = at.slice(1).map((to, index) => wire.slice(at[index], to));
          expect(
            await read(
              pieces.filter((piece) => piece !== ""),
              chunked,
            ),
          ).toEqual({ body: contents.join(""), rest: "NEXT" });
        },
      ),
      { numRuns: 60 },
    );
  });
});
