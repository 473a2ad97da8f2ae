import { describe, expect, it } from "vitest";
import { planReport } from "./decision-report.ts";

describe("planReport", () => {
  it.each([
    // stored, first, count, dropped -> outcome
    [undefined, 1n, 3, 0n, { kind: "store", skip: 0, dropped: 0n }],
    [undefined, 40n, 3, 0n, { kind: "store", skip: 0, dropped: 0n }],
    [undefined, 40n, 3, 2n, { kind: "store", skip: 0, dropped: 2n }],
    [3n, 4n, 2, 0n, { kind: "store", skip: 0, dropped: 0n }],
    [3n, 4n, 2, 7n, { kind: "store", skip: 0, dropped: 7n }],
    [3n, 6n, 2, 2n, { kind: "store", skip: 0, dropped: 2n }],
    [3n, 6n, 2, 1n, { kind: "gap" }],
    [3n, 5n, 1, 0n, { kind: "gap" }],
    [3n, 1n, 3, 0n, { kind: "repeated" }],
    [3n, 2n, 1, 5n, { kind: "repeated" }],
    [3n, 2n, 4, 5n, { kind: "store", skip: 2, dropped: 0n }],
    [3n, 9n, 0, 5n, { kind: "repeated" }],
    [3n, 0n, 1, 0n, { kind: "malformed", field: "first_sequence" }],
    [3n, 2n ** 63n - 1n, 1, 2n ** 63n - 1n, { kind: "malformed", field: "first_sequence" }],
    [3n, 4n, 1, -1n, { kind: "malformed", field: "dropped" }],
  ] as const)(
    "stored up to %s, a report from %s of %s with %s dropped",
    (stored, firstSequence, count, dropped, outcome) => {
      expect(planReport(stored, { firstSequence, count, dropped })).toEqual(outcome);
    },
  );
});
