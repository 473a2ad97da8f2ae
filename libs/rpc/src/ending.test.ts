import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it, vi } from "vitest";
import { Ending, ended } from "./ending.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void; // what the flag brings

it("answers what comes first", async () => {
  const ending = new Ending();
  expect(await ending.unless(Promise.resolve(1))).toBe(1);
  await expect(ending.unless(Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  const waiting = ending.unless(new Promise(() => {}));
  ending.end();
  expect(await waiting).toBe(ended);
  expect(await ending.unless(Promise.resolve(2))).toBe(ended);
  expect(await ending.unless(Promise.reject(new Error("late")))).toBe(ended);
});

it("keeps nothing of what came before the end", async () => {
  const ending = new Ending();
  const given: WeakRef<object>[] = [];
  for (let index = 0; index < 20; index += 1) {
    const value = await ending.unless(Promise.resolve({ index }));
    if (value === ended) throw new Error("it has not ended");
    given.push(new WeakRef(value));
  }
  await vi.waitFor(() => {
    collectGarbage();
    expect(given.filter((each) => each.deref() !== undefined).length).toBeLessThan(3);
  });
  ending.end();
});
