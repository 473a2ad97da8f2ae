import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { ExecInputs } from "./exec-inputs.ts";

const first = { sandbox: "box", message: { case: "start" as const, value: { command: ["cat"] } } };

async function collect(inputs: ExecInputs, count: number) {
  const seen: unknown[] = [];
  for await (const { message } of inputs) {
    if (message?.case === "input") {
      const { input } = message.value;
      seen.push(input?.case === "stdin" ? `stdin ${Buffer.from(input.value as Uint8Array).toString()}` : input);
    } else seen.push(message?.case);
    if (seen.length === count) break;
  }
  return seen;
}

it("sends the start, then standard input, then its end", async () => {
  const stdin = new PassThrough();
  stdin.end("hello");
  expect(await collect(new ExecInputs(first, stdin), 3)).toEqual([
    "start",
    "stdin hello",
    { case: "stdinClosed", value: true },
  ]);
});

it("closes standard input at once where there is none", async () => {
  expect(await collect(new ExecInputs(first, undefined), 2)).toEqual(["start", { case: "stdinClosed", value: true }]);
});

it("lets signals and resizes overtake standard input", async () => {
  const stdin = new PassThrough();
  const inputs = new ExecInputs(first, stdin);
  stdin.write("typed");
  inputs.signal("SIGINT");
  inputs.resize({ rows: 50, columns: 100 });
  expect(await collect(inputs, 4)).toEqual([
    "start",
    { case: "signal", value: "SIGINT" },
    { case: "resize", value: { rows: 50, columns: 100 } },
    "stdin typed",
  ]);
});

it("reads no more than is asked for, so that a slow command slows the writer", async () => {
  const stdin = new PassThrough({ highWaterMark: 64 * 1024 });
  const inputs = new ExecInputs(first, stdin)[Symbol.asyncIterator]();
  await inputs.next();
  let written = 0;
  while (stdin.write(Buffer.alloc(16 * 1024))) written += 16 * 1024;
  expect(written).toBeLessThan(256 * 1024);
  expect(stdin.readableLength).toBeGreaterThan(0);
  await inputs.next();
  expect(stdin.readableLength).toBe(0);
});

it("cuts what is too large for one message", async () => {
  const stdin = new PassThrough({ highWaterMark: 4 * 1024 * 1024 });
  stdin.end(Buffer.alloc(1_000_000));
  const sizes: number[] = [];
  for await (const { message } of new ExecInputs(first, stdin)) {
    if (message?.case !== "input") continue;
    const { input } = message.value;
    if (input?.case === "stdin") sizes.push((input.value as Uint8Array).length);
    else if (input?.case === "stdinClosed") break;
  }
  expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1_000_000);
});

it("ends when it is told to, also while it waits", async () => {
  const inputs = new ExecInputs(first, new PassThrough());
  const iterator = inputs[Symbol.asyncIterator]();
  await iterator.next();
  const waiting = iterator.next();
  inputs.end();
  expect((await waiting).done).toBe(true);
});
