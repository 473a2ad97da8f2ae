import { Registry } from "prom-client";
import { expect, it } from "vitest";
import type { Phase } from "./domain/phase.ts";
import { registerSandboxMetrics } from "./sandbox-metrics.ts";

it("shows every phase but DELETED, and nothing while it cannot be known", async () => {
  const registry = new Registry();
  let counts: ReadonlyMap<Phase, number> | undefined = new Map([["READY", 3]]);
  registerSandboxMetrics(registry, {
    countByPhase: async () => {
      if (counts === undefined) throw new Error("the database is away");
      return counts;
    },
  });
  const lines = async () =>
    (await registry.metrics()).split("\n").filter((line) => line.startsWith("sandgate_sandboxes{"));
  expect(await lines()).toContain('sandgate_sandboxes{phase="READY"} 3');
  expect(await lines()).toContain('sandgate_sandboxes{phase="STOPPED"} 0');
  expect(await lines()).toHaveLength(9);
  counts = undefined;
  expect(await lines()).toEqual([]);
});
