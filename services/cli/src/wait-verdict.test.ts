import { Phase } from "@sandgate/api/sandbox";
import { describe, expect, it } from "vitest";
import { type AwaitedPhase, judgeWait } from "./wait-verdict.ts";

type Name = keyof typeof Phase;

describe("a wait", () => {
  it.each<[AwaitedPhase, Name, Name, string]>([
    ["READY", "READY", "READY", "reached"],
    ["READY", "STARTING", "READY", "possible"],
    ["READY", "STOPPED", "READY", "possible"],
    ["READY", "STOPPED", "STOPPED", "impossible"],
    ["READY", "FAILED", "READY", "impossible"],
    ["READY", "COMPLETED", "READY", "impossible"],
    ["READY", "STARTING", "DELETED", "impossible"],
    ["COMPLETED", "READY", "READY", "possible"],
    ["COMPLETED", "COMPLETED", "READY", "reached"],
    ["COMPLETED", "FAILED", "READY", "impossible"],
    ["COMPLETED", "STOPPING", "STOPPED", "impossible"],
    ["FAILED", "READY", "READY", "possible"],
    ["FAILED", "COMPLETED", "READY", "impossible"],
    ["STOPPED", "READY", "READY", "possible"],
    ["STOPPED", "STOPPING", "STOPPED", "possible"],
    ["STOPPED", "STOPPED", "STOPPED", "reached"],
    ["STOPPED", "COMPLETED", "READY", "impossible"],
    ["STOPPED", "DELETING", "DELETED", "impossible"],
    ["DELETED", "READY", "READY", "possible"],
    ["DELETED", "FAILED", "READY", "possible"],
    ["DELETED", "DELETED", "DELETED", "reached"],
    ["READY", "DELETED", "DELETED", "impossible"],
  ])("for %s of a sandbox that is %s and is to be %s: %s", (awaited, phase, desired, verdict) => {
    const sandbox = { phase: Phase[phase], desiredPhase: Phase[desired] };
    expect(judgeWait({ ...sandbox, spec: { command: ["make"] } as never }, awaited)).toBe(verdict); // the command is all that it reads
  });

  it("for the end of a main process that there is not is in vain", () => {
    const sandbox = { phase: Phase.READY, desiredPhase: Phase.READY, spec: undefined };
    expect(judgeWait(sandbox, "COMPLETED")).toBe("impossible");
  });
});
