import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ForeignKeySet } from "./foreign-key-set.ts";
import { RemoteKeys } from "./remote-keys.ts";

const minute = 60_000;
const newKey = () => ({ key: generateKeyPairSync("ed25519").publicKey, algorithms: new Set(["EdDSA"] as const) });
const first = newKey();
const second = newKey();

/** A provider that answers with `keys`, fails, or never answers until it is given up. */
function setUp() {
  const provider = {
    keys: new Map([["first", first]]) as ForeignKeySet,
    mode: "answers" as "answers" | "fails" | "hangs",
  };
  const events: string[] = [];
  let reads = 0;
  const remote = new RemoteKeys({
    read: (signal): Promise<ForeignKeySet> => {
      reads += 1;
      if (provider.mode === "fails") return Promise.reject(new Error("away"));
      if (provider.mode === "answers") return Promise.resolve(provider.keys);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    clock: Date.now,
    onFault: () => events.push("fault"),
    onChange: () => events.push("change"),
  });
  return {
    provider,
    remote,
    events,
    reads: () => reads,
    find: async (kid: string) => (await remote.find(kid)).outcome,
  };
}

beforeEach(() => {
  vi.useFakeTimers();
  // AbortSignal.timeout is not the fake clock's
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("too late")), ms);
    return controller.signal;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("G-04: keys over the network", () => {
  it("are read once by however many ask at once", async () => {
    const { remote, find, reads } = setUp();
    remote.start();
    expect(await Promise.all(Array.from({ length: 50 }, () => find("first")))).toEqual(Array(50).fill("found"));
    expect(reads()).toBe(1);
    await remote.stop();
  });

  it("are read anew about every five minutes", async () => {
    const { remote, reads } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(60 * minute);
    expect(reads()).toBeGreaterThanOrEqual(10);
    expect(reads()).toBeLessThanOrEqual(16);
    await remote.stop();
  });

  it("an unknown kid makes one reading in ten seconds, whatever it is called and however often it comes", async () => {
    const { remote, find, reads } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(0);
    for (let index = 0; index < 10_000; index += 1) expect(await find(`kid-${index}`)).toBe("unknown");
    expect(reads()).toBe(1);
    await vi.advanceTimersByTimeAsync(10_000);
    for (let index = 0; index < 10_000; index += 1) expect(await find(`kid-${index}`)).toBe("unknown");
    expect(reads()).toBe(2);
    await remote.stop();
  });

  it("a new key is found with the first token that it signed", async () => {
    const { remote, provider, find, events } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(30_000);
    provider.keys = new Map([
      ["first", first],
      ["second", second],
    ]);
    expect(await find("second")).toBe("found");
    expect(events).toEqual([]);
    await remote.stop();
  });

  it.each([
    ["gone", new Map([["second", second]])],
    ["another under the same kid", new Map([["first", second]])],
  ])("a key that is %s is told of", async (_, keys) => {
    const { remote, provider, find, events } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(30_000);
    provider.keys = keys;
    await find("unknown");
    expect(events).toEqual(["change"]);
    await remote.stop();
  });

  it.each(["fails", "hangs"] as const)("of an owner that %s go on for an hour, and then end", async (mode) => {
    const { remote, provider, find, events } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(0);
    provider.mode = mode;
    await vi.advanceTimersByTimeAsync(59 * minute);
    expect(await find("first")).toBe("found");
    expect(remote.isUsable()).toBe(true);
    await vi.advanceTimersByTimeAsync(minute);
    expect(remote.isUsable()).toBe(false);
    const asked = find("first");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await asked).toBe("unavailable");
    expect(events).toEqual(["fault"]);

    provider.mode = "answers";
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await find("first")).toBe("found");
    await remote.stop();
  });

  it("an unknown kid is not refused, but not let in either, while its owner is away", async () => {
    const { remote, provider, find } = setUp();
    remote.start();
    await vi.advanceTimersByTimeAsync(0);
    provider.mode = "fails";
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await find("second")).toBe("unavailable");
    await remote.stop();
  });

  it("of an owner that hangs hold up nobody for more than 5 seconds, and no more than 100 at once", async () => {
    const { remote, provider, remote: keys } = setUp();
    provider.mode = "hangs";
    remote.start();
    const outcomes: string[] = [];
    const asked = Array.from({ length: 500 }, async () => void outcomes.push((await keys.find("first")).outcome));
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toEqual(Array(400).fill("unavailable"));
    await vi.advanceTimersByTimeAsync(5_000);
    await Promise.all(asked);
    expect(outcomes).toEqual(Array(500).fill("unavailable"));
    await remote.stop();
  });

  it("are asked for again within seconds of an outage, however long it was, and not more often than that", async () => {
    const { remote, provider, reads } = setUp();
    provider.mode = "fails";
    remote.start();
    await vi.advanceTimersByTimeAsync(10 * minute);
    expect(reads()).toBeGreaterThan(40);
    expect(reads()).toBeLessThan(90);
    provider.mode = "answers";
    await vi.advanceTimersByTimeAsync(12_000);
    expect(remote.isUsable()).toBe(true);
    await remote.stop();
  });

  it("end with their owner's reading, and are not asked for again", async () => {
    const { remote, provider, find, reads } = setUp();
    provider.mode = "hangs";
    remote.start();
    await remote.stop();
    expect(await find("first")).toBe("unavailable");
    await vi.advanceTimersByTimeAsync(10 * minute);
    expect(reads()).toBe(1);
  });
});
