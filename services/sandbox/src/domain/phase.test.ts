import { describe, expect, it } from "vitest";
import { canFollow, phases } from "./phase.ts";

describe("the phases of a sandbox", () => {
  it("lead from PENDING to DELETED in the order of design section 5", () => {
    const life = [
      "PENDING",
      "PROVISIONING",
      "STARTING",
      "READY",
      "STOPPING",
      "STOPPED",
      "DELETING",
      "DELETED",
    ] as const;
    for (const [index, phase] of life.slice(1).entries()) {
      const before = life[index];
      expect(before !== undefined && canFollow(before, phase)).toBe(true);
    }
  });

  it("can end in STOPPING from every phase in which a sandbox is in use", () => {
    const inUse = ["PENDING", "PROVISIONING", "STARTING", "READY", "COMPLETED", "FAILED"] as const;
    expect(inUse.filter((phase) => !canFollow(phase, "STOPPING"))).toEqual([]);
  });

  it("never come back from DELETED, and from STOPPED only as PENDING", () => {
    expect(phases.filter((phase) => canFollow("DELETED", phase))).toEqual([]);
    expect(phases.filter((phase) => canFollow("STOPPING", phase))).toEqual(["STOPPED"]);
    expect(phases.filter((phase) => canFollow("STOPPED", phase))).toEqual(["PENDING", "STOPPING", "DELETING"]);
    expect(phases.filter((phase) => canFollow("DELETING", phase))).toEqual(["DELETED"]);
  });
});
