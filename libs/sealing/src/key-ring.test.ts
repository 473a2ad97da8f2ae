import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createKeyRing } from "./key-ring.ts";
import { SealingError } from "./sealing-error.ts";

const [old, young] = [randomBytes(32), randomBytes(32)];
const secret = Buffer.from("sk-0123456789");

describe("KeyRing", () => {
  it("opens what it sealed, for the same thing alone", () => {
    const ring = createKeyRing([old]);
    const sealed = ring.seal(secret, "row 1");
    expect(ring.open(sealed, "row 1")).toEqual(secret);
    expect(() => ring.open(sealed, "row 2")).toThrow(SealingError);
  });

  it("shows nothing of the secret, and never the same twice", () => {
    const ring = createKeyRing([old]);
    const [one, two] = [ring.seal(secret, "row"), ring.seal(secret, "row")];
    expect(one.includes(secret)).toBe(false);
    expect(one.subarray(8).equals(two.subarray(8))).toBe(false);
  });

  it("refuses what was changed in any byte, cut, or sealed with an unknown key", () => {
    const ring = createKeyRing([old]);
    const sealed = ring.seal(secret, "row");
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => ring.open(changed, "row")).toThrow(SealingError);
    }
    for (const length of [0, 7, 8, 20, 36, sealed.length - 1])
      expect(() => ring.open(sealed.subarray(0, length), "row")).toThrow(SealingError);
    expect(() => createKeyRing([young]).open(sealed, "row")).toThrow(SealingError);
  });

  it("seals with the first key and opens with every one, so that a key can be rotated", () => {
    const before = createKeyRing([old]).seal(secret, "row");
    const rotated = createKeyRing([young, old]);
    expect(rotated.isCurrent(before)).toBe(false);
    const after = rotated.seal(rotated.open(before, "row"), "row");
    expect(rotated.isCurrent(after)).toBe(true);
    expect(createKeyRing([young]).open(after, "row")).toEqual(secret);
  });

  it("digests a text in a way that nobody without a key can repeat", () => {
    const digest = createKeyRing([old]).digest("text");
    expect(createKeyRing([young, old]).isDigestOf(digest, "text")).toBe(true);
    expect(createKeyRing([young, old]).isDigestOf(digest, "other")).toBe(false);
    expect(createKeyRing([young]).isDigestOf(digest, "text")).toBe(false);
  });

  it("does not work without a key", () => {
    expect(() => createKeyRing([])).toThrow(SealingError);
  });
});
