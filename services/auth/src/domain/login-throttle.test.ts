import { describe, expect, it } from "vitest";
import { decideAttempt, type LoginAttempts } from "./login-throttle.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const failed = (failures: number, agoMs: number, succeededAgoMs?: number): LoginAttempts => ({
  failures,
  failedAtMs: now - agoMs,
  succeededAtMs: succeededAgoMs === undefined ? undefined : now - succeededAgoMs,
});
const day = 86_400_000;
const attacked = failed(1_000, 0);

describe("decideAttempt", () => {
  const decide = (attempts: { account?: LoginAttempts; address?: LoginAttempts; pair?: LoginAttempts }) =>
    decideAttempt({ account: undefined, address: undefined, pair: undefined, ...attempts }, now);

  it.each([
    ["no failure", {}, 0],
    ["9 failures of the account", { account: failed(9, 0) }, 0],
    ["10 failures of the account", { account: failed(10, 0) }, 1_000],
    ["10 failures, the last a second ago", { account: failed(10, 1_000) }, 0],
    ["13 failures of the account", { account: failed(13, 0) }, 8_000],
    ["a thousand failures of the account", { account: attacked }, 300_000],
    ["a thousand failures, the last an hour ago", { account: failed(1_000, 3_600_000) }, 0],
    ["99 failures from the address", { address: failed(99, 0) }, 0],
    ["103 failures from the address", { address: failed(103, 0) }, 8_000],
    ["a thousand failures from the address", { address: failed(1_000, 0) }, 60_000],
    ["the longer of two delays", { account: failed(11, 0), address: failed(100, 0) }, 2_000],
  ])("after %s", (_, attempts, waitMs) => {
    expect(decide(attempts)).toEqual(
      waitMs === 0 ? { kind: "allowed", counted: "account" } : { kind: "delayed", waitMs },
    );
  });

  it("lets a user in from an address that they have logged in from, whoever attacks", () => {
    expect(decide({ account: attacked, address: attacked, pair: failed(0, day, day) })).toEqual({
      kind: "allowed",
      counted: "pair",
    });
  });

  it("slows down who guesses from such an address, for the account from there alone", () => {
    expect(decide({ pair: failed(11, 0, day) })).toEqual({ kind: "delayed", waitMs: 2_000 });
  });

  it("lets 50 accounts be made from an address before it slows down", () => {
    const attempts = { account: failed(50, 0), address: undefined, pair: undefined };
    expect(decideAttempt({ ...attempts, account: failed(49, 0) }, now, "sign-up").kind).toBe("allowed");
    expect(decideAttempt(attempts, now, "sign-up")).toEqual({ kind: "delayed", waitMs: 1_000 });
  });

  it("knows an address for 90 days", () => {
    expect(decide({ account: attacked, pair: failed(0, 90 * day, 90 * day) }).kind).toBe("delayed");
  });
});
