import { describe, expect, it } from "vitest";
import { DecisionSweep } from "./decision-sweep.ts";
import type { PruneResult } from "./store/policy-store.ts";

const result = (more: boolean): PruneResult => ({ decisions: 0, requests: 0, proposals: 0, proxyRuns: 0, more });

describe("DecisionSweep", () => {
  it("removes what is older than the retention until nothing is left", async () => {
    const asked: number[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const store = {
      async prune(beforeMs: number) {
        asked.push(beforeMs);
        if (asked.length === 3) resolve();
        return result(asked.length < 3);
      },
    };
    const sweep = new DecisionSweep({ store, clock: () => 1000, retentionMs: 400, logger: { error: () => {} } });
    sweep.start();
    await done;
    await sweep.stop();
    expect(asked).toEqual([600, 600, 600]);
  });

  it("logs a failure and lives on", async () => {
    const logged: string[] = [];
    const store = { prune: () => Promise.reject(new Error("no database")) };
    const sweep = new DecisionSweep({
      store,
      clock: () => 0,
      retentionMs: 0,
      logger: { error: (_fields, message) => logged.push(message) },
    });
    sweep.start();
    await sweep.stop();
    expect(logged).toEqual(["old decisions could not be removed yet"]);
  });
});
