import { expect, it } from "vitest";
import { type ClientAddress, readClientAddress } from "./client-address.ts";
import { FailureLimit } from "./failure-limit.ts";

const at = (text: string): ClientAddress => readClientAddress(text) ?? { family: 4, text };

it("hears a peer as often as it may fail in a minute, then once for each failure that grew back", () => {
  let now = 0;
  const limit = new FailureLimit(2, () => now);
  const peer = at("192.0.2.1");
  limit.noteFailure(peer);
  expect(limit.waitMs(peer)).toBe(0);
  limit.noteFailure(peer);
  expect(limit.waitMs(peer)).toBe(30_000);
  expect(limit.waitMs(at("192.0.2.2"))).toBe(0);
  now += 30_000;
  expect(limit.waitMs(peer)).toBe(0);
  limit.noteFailure(peer);
  expect(limit.waitMs(peer)).toBe(30_000);
});

it.each([
  ["2001:db8::1", "2001:db8::ffff:1", true],
  ["2001:db8::1", "2001:db8:0:1::1", false],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", true],
  ["::1", "0:0:0:1::", false],
])("counts the /64 of IPv6: %s and %s", (failed, other, same) => {
  const limit = new FailureLimit(1, () => 0);
  limit.noteFailure(at(failed));
  expect(limit.waitMs(at(other)) > 0).toBe(same);
});

it("remembers no more than so many peers, those that failed last", () => {
  const limit = new FailureLimit(1, () => 0);
  for (let peer = 0; peer < 10_001; peer += 1) limit.noteFailure(at(`10.0.${peer >> 8}.${peer & 255}`));
  expect(limit.waitMs(at("10.0.0.0"))).toBe(0);
  expect(limit.waitMs(at("10.0.0.1"))).toBeGreaterThan(0);
});
