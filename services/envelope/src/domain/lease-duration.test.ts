import { expect, it } from "vitest";
import { leaseDurationMs } from "./lease-duration.ts";

it.each([
  ["EW-13: until the token expires", 60_000, { maxMs: 600_000 }, 60_000],
  ["EW-13: no longer than the ceiling", 31_536_000_000, { maxMs: 600_000 }, 600_000],
  ["no time at all", 0, { maxMs: 600_000 }, undefined],
  ["E-41: compatible: at least the timeout", 1_000, { minMs: 60_000 }, 60_000],
  ["E-41: compatible: as long as the token", 120_000, { minMs: 60_000 }, 120_000],
  ["no longer than timers count", 31_536_000_000, { minMs: 60_000 }, 2_147_483_647],
])("%s", (_, leftMs, bound, expected) => {
  expect(leaseDurationMs({ expiresAtMs: 5_000 + leftMs, nowMs: 5_000, bound })).toBe(expected);
});
