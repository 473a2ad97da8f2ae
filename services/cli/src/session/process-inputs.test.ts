import { PassThrough } from "node:stream";
import { expect, it, vi } from "vitest";
import { ProcessInputs } from "./process-inputs.ts";

const first = { sandbox: "box", message: { case: "attach" as const, value: { processId: "prc" } } };

async function take(requests: AsyncGenerator<Parameters<ProcessInputs["requests"]>[0]>, count: number) {
  const seen: string[] = [];
  while (seen.length < count) {
    const { done, value } = await requests.next();
    if (done === true) break;
    const { message } = value;
    if (message?.case === "input") {
      const { offset, data, close } = message.value;
      seen.push(`${offset} ${close === true ? "close" : Buffer.from(data ?? []).toString()}`);
    } else if (message?.case === "resize") seen.push(`resize ${message.value.rows}`);
    else if (message?.case === "attach") seen.push("attach");
    else seen.push(`${message?.case} ${message?.value}`);
  }
  return seen;
}

it("sends what to attach to, then standard input at its offset, then its end", async () => {
  const stdin = new PassThrough();
  stdin.end("hello");
  const inputs = new ProcessInputs(stdin);
  inputs.taken(0);
  expect(await take(inputs.requests(first), 3)).toEqual(["attach", "0 hello", "5 close"]);
});

it("closes standard input at once where there is none", async () => {
  const inputs = new ProcessInputs(undefined);
  inputs.taken(7);
  expect(await take(inputs.requests(first), 2)).toEqual(["attach", "7 close"]);
});

it("leaves standard input open where it is not ours to close", async () => {
  const inputs = new ProcessInputs(undefined, { keepOpen: true });
  inputs.taken(7);
  const requests = inputs.requests(first);
  expect(await take(requests, 1)).toEqual(["attach"]);
  inputs.signal("SIGINT");
  expect(await take(requests, 1)).toEqual(["signal SIGINT"]);
});

it("lets signals, sizes and acknowledgements overtake standard input", async () => {
  const stdin = new PassThrough();
  const inputs = new ProcessInputs(stdin);
  inputs.taken(0);
  const requests = inputs.requests(first);
  expect(await take(requests, 1)).toEqual(["attach"]);
  stdin.write("typed");
  inputs.signal("SIGINT");
  inputs.resize({ rows: 50, columns: 100 });
  inputs.acknowledge(3);
  inputs.acknowledge(9);
  expect(await take(requests, 4)).toEqual(["signal SIGINT", "resize 50", "acknowledgedOffset 9", "0 typed"]);
});

it("sends again by the next call what was not taken, and nothing else", async () => {
  const stdin = new PassThrough();
  const inputs = new ProcessInputs(stdin);
  inputs.taken(0);
  const lost = inputs.requests(first);
  stdin.write("one ");
  expect(await take(lost, 2)).toEqual(["attach", "0 one "]);
  stdin.write("two ");
  expect(await take(lost, 1)).toEqual(["4 two "]);
  const next = inputs.requests(first);
  expect(await take(next, 1)).toEqual(["attach"]);
  inputs.taken(4);
  expect(await take(next, 1)).toEqual(["4 two "]);
  expect(await lost.next()).toMatchObject({ done: true });
  stdin.end("three");
  inputs.taken(8);
  expect(await take(next, 2)).toEqual(["8 three", "13 close"]);
});

it("reads no more than is asked for, so that a slow command slows the writer", async () => {
  const stdin = new PassThrough({ highWaterMark: 64 * 1024 });
  const inputs = new ProcessInputs(stdin);
  inputs.taken(0);
  const requests = inputs.requests(first);
  await requests.next();
  let written = 0;
  while (stdin.write(Buffer.alloc(16 * 1024))) written += 16 * 1024;
  expect(written).toBeLessThan(256 * 1024);
  expect(stdin.readableLength).toBeGreaterThan(0);
  await requests.next();
  expect(stdin.readableLength).toBe(0);
});

it("holds no more than so much that was not taken, in messages of a good size", async () => {
  const stdin = new PassThrough({ highWaterMark: 8 * 1024 * 1024 });
  stdin.write(Buffer.alloc(4_000_000));
  const inputs = new ProcessInputs(stdin);
  inputs.taken(0);
  const requests = inputs.requests(first);
  await requests.next();
  let bytes = 0;
  let waiting: Promise<unknown> | undefined;
  while (waiting === undefined) {
    const next = requests.next();
    const value = await Promise.race([
      next,
      new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined))),
    ]);
    if (value === undefined) waiting = next;
    else if (value.value?.message?.case === "input") {
      const size = value.value.message.value.data?.length ?? 0;
      expect(size).toBeLessThanOrEqual(256 * 1024);
      bytes += size;
    }
  }
  expect(bytes).toBeLessThan(1_500_000);
  inputs.taken(bytes);
  expect(await waiting).toMatchObject({ value: { message: { case: "input", value: { offset: BigInt(bytes) } } } });
});

it("leaves at Ctrl-P Ctrl-Q, also where they come apart, and passes Ctrl-P on else", async () => {
  const stdin = new PassThrough();
  let detached = 0;
  const inputs = new ProcessInputs(stdin, { onDetach: () => (detached += 1) });
  inputs.taken(0);
  const requests = inputs.requests(first);
  await requests.next();
  stdin.write("a\x10");
  expect(await take(requests, 1)).toEqual(["0 a"]);
  stdin.write("b");
  expect(await take(requests, 1)).toEqual(["1 \x10b"]);
  stdin.write("\x10");
  const last = requests.next();
  stdin.write("\x11");
  await vi.waitFor(() => expect(detached).toBe(1));
  inputs.end();
  expect((await last).done).toBe(true);
});

it("ends when it is told to, also while it waits", async () => {
  const inputs = new ProcessInputs(new PassThrough());
  const requests = inputs.requests(first);
  await requests.next();
  const waiting = requests.next();
  inputs.end();
  expect((await waiting).done).toBe(true);
});
