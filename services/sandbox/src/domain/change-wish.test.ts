import { describe, expect, it } from "vitest";
import { decideDeletion, decideStart, decideStop, type WishDecision } from "./change-wish.ts";
import { canFollow, type DesiredPhase, type Phase, phases } from "./phase.ts";

const failure = { stage: "run", fault: "", retriable: true, nextCommand: "" } as const;

function outcome(decision: WishDecision): string {
  return decision.kind === "change" ? `${decision.desiredPhase} ${decision.phase}` : decision.kind;
}

const wanted = ["PENDING", "PROVISIONING", "STARTING", "READY"] as const;

describe("a request to stop", () => {
  it.each<[DesiredPhase, Phase, string]>([
    ...wanted.map((phase): [DesiredPhase, Phase, string] => ["READY", phase, "STOPPED STOPPING"]),
    ["READY", "STOPPING", "STOPPED STOPPING"],
    ["READY", "STOPPED", "STOPPED STOPPED"],
    ["READY", "COMPLETED", "unchanged"],
    ["READY", "FAILED", "unchanged"],
    ["STOPPED", "STOPPING", "unchanged"],
    ["STOPPED", "STOPPED", "unchanged"],
    ["DELETED", "READY", "deleting"],
    ["DELETED", "DELETED", "deleting"],
  ])("that is to be %s and is %s: %s", (desiredPhase, phase, expected) => {
    expect(outcome(decideStop({ desiredPhase, phase, failure: undefined }))).toBe(expected);
  });
});

describe("a request to start", () => {
  it.each<[DesiredPhase, Phase, string]>([
    ...wanted.map((phase): [DesiredPhase, Phase, string] => ["READY", phase, "unchanged"]),
    ["READY", "STOPPING", "unchanged"],
    ["READY", "STOPPED", "unchanged"],
    ["READY", "COMPLETED", "READY STOPPING"],
    ["READY", "FAILED", "READY STOPPING"],
    ["STOPPED", "STOPPING", "READY STOPPING"],
    ["STOPPED", "STOPPED", "READY STOPPED"],
    ["DELETED", "STOPPED", "deleting"],
  ])("that is to be %s and is %s: %s", (desiredPhase, phase, expected) => {
    expect(outcome(decideStart({ desiredPhase, phase, failure }))).toBe(expected);
  });

  it("what was revoked by hand is refused (G-15)", () => {
    const revoked = { ...failure, stage: "identity" } as const;
    expect(outcome(decideStart({ desiredPhase: "READY", phase: "FAILED", failure: revoked }))).toBe("revoked");
  });
});

describe("a request to delete", () => {
  it.each(phases)("%s goes on to a phase in which its entry in the register is still retired", (phase) => {
    const decision = decideDeletion({ desiredPhase: "STOPPED", phase, failure: undefined });
    expect(outcome(decision)).toBe(`DELETED ${phase === "STOPPED" ? "STOPPING" : phase}`);
  });
});

it("no request makes a sandbox take a way that there is not", () => {
  for (const decide of [decideStop, decideStart, decideDeletion])
    for (const desiredPhase of ["READY", "STOPPED", "DELETED"] as const)
      for (const phase of phases) {
        if (desiredPhase !== "DELETED" && (phase === "DELETING" || phase === "DELETED")) continue; // there is no such sandbox
        const decision = decide({ desiredPhase, phase, failure });
        if (decision.kind === "change" && decision.phase !== phase) expect(canFollow(phase, decision.phase)).toBe(true);
      }
});
