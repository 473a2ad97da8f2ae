import { expect, it } from "vitest";
import { unframe } from "./docker-driver.ts";

it("reads the pieces of an engine's log, also of one that was cut off", () => {
  const piece = (stream: number, text: string): Buffer => {
    const head = Buffer.alloc(8);
    head.writeUInt8(stream);
    head.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const log = Buffer.concat([piece(1, "one\n"), piece(2, "zwö\n"), piece(1, "three\n")]);
  expect(unframe(log)).toBe("one\nzwö\nthree\n");
  expect(unframe(log.subarray(0, log.length - 3))).toBe("one\nzwö\nthr");
  expect(unframe(Buffer.alloc(3))).toBe("");
});
