import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Refusal } from "../decision/refusal.ts";
import { HeadScanner } from "./head-scanner.ts";
import { parseRequest } from "./request.ts";

const limits = { maximumBytes: 16_384, maximumFields: 200 };

/** Reads a head cut into these pieces; undefined while it is not complete. */
function scan(bytes: Buffer, cuts: readonly number[] = []): string[] | undefined {
  const scanner = new HeadScanner(limits);
  let from = 0;
  for (const to of [...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length]) {
    if (scanner.push(bytes.subarray(from, to)) !== undefined) return scanner.lines();
    from = to;
  }
  return undefined;
}

function outcome(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (error instanceof Refusal) return error.status;
    throw error;
  }
}

const piece = fc.constantFrom(
  ..."GET |POST |CONNECT |http://api.example.test|http://|/|api.example.test:443|@evil.test|#|%00| HTTP/1.1| HTTP/1.0|\r\n|\n|\r| |\t|\0|Host: |api.example.test|evil.test|Content-Length: 5|Transfer-Encoding: chunked|Connection: close|:|,|[::1]|\x80|a".split(
    "|",
  ),
);
const hostile = fc.oneof(
  fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.from(pieces.join(""), "latin1")),
  fc
    .tuple(fc.array(piece, { maxLength: 6 }), fc.array(piece, { maxLength: 6 }))
    .map(([inLine, inField]) =>
      Buffer.from(
        `GET http://api.example.test/${inLine.join("")} HTTP/1.1\r\nHost: api.example.test\r\n${inField.join("")}\r\n\r\n`,
        "latin1",
      ),
    ),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);

describe("reading a request", () => {
  it("answers any bytes with a request or a Refusal, and the same however they are cut", () => {
    fc.assert(
      fc.property(hostile, fc.array(fc.nat(250), { maxLength: 5 }), (bytes, cuts) => {
        const whole = outcome(() => scan(bytes));
        expect(outcome(() => scan(bytes, cuts))).toEqual(whole);
        if (Array.isArray(whole)) outcome(() => parseRequest(whole));
      }),
      { numRuns: 3000 },
    );
  });

  it("gives what it accepts one meaning: written anew, it reads the same", () => {
    fc.assert(
      fc.property(hostile, (bytes) => {
        const lines = outcome(() => scan(bytes));
        const request = Array.isArray(lines) ? outcome(() => parseRequest(lines)) : undefined;
        if (typeof request !== "object" || request === null) return;
        const { method, path, destination, fields } = request as ReturnType<typeof parseRequest>;
        for (const { name, value } of fields.all) expect(`${name}: ${value}`).not.toMatch(/[\r\n\0]/);
        if (path === undefined) return;
        expect(path).toMatch(/^(\/[\x21-\x7e]*|\*)$/);
        const again = parseRequest(
          [`${method} ${path === "*" ? "/" : path} HTTP/1.1`, `Host: ${destination.host.text}:${destination.port}`],
          destination,
        );
        expect(again.destination).toEqual(destination);
      }),
      { numRuns: 3000 },
    );
  });

  it("keeps no state from refused bytes: a head over its limits is refused at the limit", () => {
    const scanner = new HeadScanner({ maximumBytes: 100, maximumFields: 5 });
    expect(() => scanner.push(Buffer.alloc(101, "a"))).toThrow(Refusal);
    const many = new HeadScanner({ maximumBytes: 1000, maximumFields: 5 });
    expect(() => many.push(Buffer.from("GET\r\n".repeat(20)))).toThrow(Refusal);
  });
});
