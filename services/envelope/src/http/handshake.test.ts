import { expect, it } from "vitest";
import { answerHandshake, closeFrame } from "./handshake.ts";

const good = {
  connection: "keep-alive, Upgrade",
  upgrade: "WebSocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

const lax = { strictKey: false };

it("answers as RFC 6455 shows", () => {
  expect(answerHandshake(good, lax)).toContain("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
});

it("E-14: takes a key of any length, unless it is strict", () => {
  const example = { ...good, "sec-websocket-key": "aGVsbG8K" };
  expect(answerHandshake(example, lax)).toMatch(/^HTTP\/1.1 101 /);
  expect(answerHandshake(example, { strictKey: true })).toBeUndefined();
  expect(answerHandshake(good, { strictKey: true })).toMatch(/^HTTP\/1.1 101 /);
});

it.each([
  ["chooses the subprotocol when it is offered", "chat, net.measurementlab.envelope", true],
  ["chooses none when none is offered", undefined, false],
  ["chooses none when another is offered", "chat", false],
  ["never chooses the one that carries a token", "sandgate.bearer.a.b.c", false],
])("E-13: %s", (_, offered, chosen) => {
  const answer = answerHandshake({ ...good, ...(offered && { "sec-websocket-protocol": offered }) }, lax) ?? "";
  expect(answer.includes("\r\nSec-WebSocket-Protocol: net.measurementlab.envelope\r\n")).toBe(chosen);
  expect(/Sec-WebSocket-Protocol/.test(answer)).toBe(chosen);
});

it.each([
  ["another version", { "sec-websocket-version": "8" }],
  ["no Connection: upgrade", { connection: "keep-alive" }],
  ["no Upgrade: websocket", { upgrade: "h2c" }],
  ["an empty key", { "sec-websocket-key": "" }],
])("E-07: %s is no handshake", (_, over) => {
  expect(answerHandshake({ ...good, ...over }, lax)).toBeUndefined();
});

it("E-43: a close frame is unmasked, with code and reason", () => {
  expect(closeFrame(1001, "bye").toString("hex")).toBe("880503e9627965");
});
