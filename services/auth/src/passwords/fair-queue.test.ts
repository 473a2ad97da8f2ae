import { describe, expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

const never = new AbortController().signal;

/** Work that is done when the test says so, and a list of what has begun. */
function workshop() {
  const begun: string[] = [];
  const pieces = new Map<
    string,
    { readonly begun: PromiseWithResolvers<void>; readonly done: PromiseWithResolvers<string> }
  >();
  const piece = (name: string) => {
    const found = pieces.get(name) ?? { begun: Promise.withResolvers<void>(), done: Promise.withResolvers<string>() };
    pieces.set(name, found);
    return found;
  };
  return {
    begun,
    work: (name: string) => () => {
      begun.push(name);
      piece(name).begun.resolve();
      return piece(name).done.promise;
    },
    /** Once it has begun. */
    finish: async (name: string) => {
      await piece(name).begun.promise;
      piece(name).done.resolve(name);
    },
  };
}

describe("FairQueue", () => {
  it("runs as many at once as it may, and the next when one is done", async () => {
    const { begun, work, finish } = workshop();
    const queue = new FairQueue({ concurrency: 2, maximumWaiting: 8 });
    const runs = ["a", "b", "c"].map((name) => queue.run("x", never, work(name)));
    expect(begun).toEqual(["a", "b"]);
    for (const name of ["b", "c", "a"]) await finish(name);
    expect(await Promise.all(runs)).toEqual(["a", "b", "c"]);
  });

  it("takes turns between those who wait", async () => {
    const { begun, work, finish } = workshop();
    const queue = new FairQueue({ concurrency: 1, maximumWaiting: 8 });
    const runs = ["x0", "x1", "x2", "x3", "y1", "z1"].map((name) => queue.run(name.slice(0, 1), never, work(name)));
    const turns = ["x0", "x1", "y1", "z1", "x2", "x3"];
    for (const name of turns) await finish(name);
    await Promise.all(runs);
    expect(begun).toEqual(turns);
  });

  it("refuses the newest of whoever has most waiting when no more may wait", async () => {
    const { begun, work, finish } = workshop();
    const queue = new FairQueue({ concurrency: 1, maximumWaiting: 2 });
    const first = queue.run("flood", never, work("first"));
    const [second, third] = [queue.run("flood", never, work("second")), queue.run("flood", never, work("third"))];
    const other = queue.run("other", never, work("other"));
    expect(await third).toBeUndefined();
    for (const name of ["first", "second", "other"]) await finish(name);
    expect(await Promise.all([first, second, other])).toEqual(["first", "second", "other"]);
    expect(begun).toEqual(["first", "second", "other"]);
  });

  it("forgets who has gone away", async () => {
    const { begun, work, finish } = workshop();
    const queue = new FairQueue({ concurrency: 1, maximumWaiting: 8 });
    const gone = new AbortController();
    const [first, second] = [queue.run("x", never, work("first")), queue.run("x", gone.signal, work("second"))];
    gone.abort();
    expect(await second).toBeUndefined();
    expect(await queue.run("x", AbortSignal.abort(), work("third"))).toBeUndefined();
    await finish("first");
    await first;
    expect(begun).toEqual(["first"]);
  });

  it("goes on after work that failed", async () => {
    const queue = new FairQueue({ concurrency: 1, maximumWaiting: 8 });
    const failing = queue.run("x", never, () => Promise.reject(new Error("broken")));
    const next = queue.run("x", never, async () => "next");
    await expect(failing).rejects.toThrow("broken");
    expect(await next).toBe("next");
  });
});
