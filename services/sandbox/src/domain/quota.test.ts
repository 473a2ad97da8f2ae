import { describe, expect, it } from "vitest";
import { addedUsage, findExceeded, isCountedAsRunning } from "./quota.ts";

const limits = { processMemoryBytes: 100, processes: 10, openFiles: 1, fileSizeBytes: 1 };
const used = { sandboxes: 3, running_sandboxes: 2, memory_bytes: 200, processes: 20 };

describe("a quota", () => {
  it.each([
    [{}, undefined],
    [{ sandboxes: 4, running_sandboxes: 3, memory_bytes: 300, processes: 30 }, undefined],
    [{ sandboxes: 3 }, "sandboxes"],
    [{ running_sandboxes: 2 }, "running_sandboxes"],
    [{ memory_bytes: 299 }, "memory_bytes"],
    [{ processes: 29 }, "processes"],
    [{ running_sandboxes: 0 }, "running_sandboxes"],
  ])("of %j lets a new sandbox pass, or is named: %s", (quota, exceeded) => {
    expect(findExceeded(quota, used, addedUsage(limits, true))).toBe(exceeded);
  });

  it("of sandboxes says nothing about one that is started again", () => {
    expect(findExceeded({ sandboxes: 1 }, used, addedUsage(limits, false))).toBeUndefined();
  });
});

it.each([
  ["READY", "PENDING", true],
  ["READY", "READY", true],
  ["STOPPED", "STOPPING", true],
  ["DELETED", "STOPPING", true],
  ["READY", "STOPPED", true],
  ["STOPPED", "STOPPED", false],
  ["DELETED", "STOPPED", false],
  ["READY", "COMPLETED", false],
  ["READY", "FAILED", false],
  ["DELETED", "DELETING", false],
] as const)("a sandbox that is to be %s and is %s counts as running: %s", (desiredPhase, phase, expected) => {
  expect(isCountedAsRunning({ desiredPhase, phase })).toBe(expected);
});
