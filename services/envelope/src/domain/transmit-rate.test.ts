import { expect, it } from "vitest";
import { TransmitRate } from "./transmit-rate.ts";

function rateOf(...bytes: readonly number[]): number {
  const rate = new TransmitRate();
  for (const [index, sample] of bytes.entries()) rate.sample(sample, index * 100);
  return rate.bitsPerSecond;
}

it("A.10: is in bits per second, and up at once", () => {
  expect(rateOf(0)).toBe(0);
  expect(rateOf(0, 1_000)).toBe(80_000);
  expect(rateOf(0, 1_000, 3_000)).toBe(160_000);
});

it("A.10: comes down slowly", () => {
  expect(rateOf(0, 1_000, 1_000)).toBeCloseTo(76_000);
  expect(rateOf(0, 1_000, ...Array.from({ length: 50 }, () => 1_000))).toBeLessThan(8_000);
});

it("A.10: overlooks a counter that was set back, and a sample too close to the last one", () => {
  expect(rateOf(5_000, 6_000, 0, 1_000)).toBe(80_000);
  const rate = new TransmitRate();
  rate.sample(0, 0);
  rate.sample(1_000_000, 50);
  rate.sample(1_000, 100);
  expect(rate.bitsPerSecond).toBe(80_000);
});
