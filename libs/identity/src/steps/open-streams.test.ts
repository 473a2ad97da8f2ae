import type { ServiceError } from "@sandgate/rpc";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { OpenStreams } from "./open-streams.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp() {
  const trust = { current: true, isCurrent: () => trust.current };
  const streams = new OpenStreams({ trust });
  const open = () => {
    const reasons: string[] = [];
    const cleanups: (() => void)[] = [];
    const done = () => {
      for (const cleanup of cleanups.splice(0)) cleanup();
    };
    streams.add({
      onDone: (cleanup) => void cleanups.push(cleanup),
      end: ({ reason }: ServiceError) => {
        reasons.push(reason);
        done();
      },
    });
    return { reasons, done };
  };
  return { trust, open };
}

it("G-15 cuts every open stream within a second of trust having ended, and none that is done", () => {
  const { trust, open } = setUp();
  const [one, two, over] = [open(), open(), open()];
  over.done();
  vi.advanceTimersByTime(60_000);
  expect(one.reasons).toEqual([]);
  trust.current = false;
  vi.advanceTimersByTime(1_000);
  expect([one.reasons, two.reasons, over.reasons]).toEqual([["TRUST_UNAVAILABLE"], ["TRUST_UNAVAILABLE"], []]);
});

it("keeps no timer while nothing is open, and watches again over the next stream", () => {
  const { trust, open } = setUp();
  open().done();
  expect(vi.getTimerCount()).toBe(0);
  const later = open();
  trust.current = false;
  vi.advanceTimersByTime(1_000);
  expect(later.reasons).toEqual(["TRUST_UNAVAILABLE"]);
  expect(vi.getTimerCount()).toBe(0);
});
