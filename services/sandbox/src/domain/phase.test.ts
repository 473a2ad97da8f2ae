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

  it("never come back from DELETED, and never from the way there to a phase in use", () => {
    expect(phases.filter((phase) => canFollow("DELETED", phase))).toEqual([]);
    for (const from of ["STOPPING", "STOPPED", "DELETING"] as const)
      expect(phases.filter((to) => canFollow(from, to))).toHaveLength(1);
  });
});
