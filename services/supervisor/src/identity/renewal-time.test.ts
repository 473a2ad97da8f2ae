import { describe, expect, it } from "vitest";
import { renewalTime } from "./renewal-time.ts";

const minute = 60_000;

describe("G-14: the time of renewal", () => {
  it.each([
    ["15 minutes", 15 * minute, 0.76, 0.84],
    ["1 hour", 60 * minute, 0.76, 0.84],
    ["75 seconds: not before 60 s", 75_000, 0.8, 0.84],
    ["20 seconds: never beyond 90 %", 20_000, 0.9, 0.9],
    ["24 hours: not after 12 h", 1440 * minute, 0.5, 0.5],
    ["nothing", 0, 0, 0],
  ])("is right for a life of %s", (_, lifeMs, least, most) => {
    for (const seed of ["sbx-a", "sbx-b", "sbx-c"]) {
      const at = renewalTime({ issuedAt: 1_000, expiresAt: 1_000 + lifeMs, seed }) - 1_000;
      expect(at).toBeGreaterThanOrEqual(lifeMs * least - 1);
      expect(at).toBeLessThanOrEqual(lifeMs * most + 1);
    }
  });

  it("differs between sandboxes and is the same for one", () => {
    const at = (seed: string): number => renewalTime({ issuedAt: 0, expiresAt: 15 * minute, seed });
    expect(at("sbx-a")).toBe(at("sbx-a"));
    expect(at("sbx-a")).not.toBe(at("sbx-b"));
  });
});
