import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Verdict } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import { describe, expect, it } from "vitest";
import { DecisionLog, type DecisionReport } from "./decision-log.ts";

interface Report {
  readonly first: bigint;
  readonly dropped: bigint;
  readonly ids: readonly string[];
}

function createLog(options: { capacity?: number; answer?: () => void } = {}) {
  const reports: Report[] = [];
  let dropped = 0;
  let wake = (): void => undefined;
  const log = new DecisionLog({
    client: {
      reportDecisions: async (request) => {
        const decisions = request.decisions ?? [];
        reports.push({
          first: request.firstSequence ?? 0n,
          dropped: request.dropped ?? 0n,
          ids: decisions.map(({ decisionId, verdict }) => `${decisionId}:${verdict}`),
        });
        wake();
        options.answer?.();
        return { $typeName: "sandgate.policy.v1.ReportDecisionsResponse", storedSequence: 0n };
      },
    },
    runId: "run",
    delayMs: 1,
    capacity: options.capacity ?? 100,
    onFault: () => undefined,
    onDrop: (count) => {
      dropped += count;
    },
  });
  const reported = async (count: number) => {
    while (reports.length < count) await new Promise<void>((resolve) => (wake = resolve));
    return reports;
  };
  return { log, reported, reports, dropped: () => dropped };
}

const decision = (decisionId: string, verdict = Verdict.ALLOWED): DecisionReport => ({
  decisionId,
  sandboxId: "sbx",
  time: timestampFromMs(0),
  verdict,
});

describe("the decision log", () => {
  it("reports in order, with sequences that count up", async () => {
    const { log, reported } = createLog();
    log.record(decision("a"));
    log.record(decision("b"));
    expect(await reported(1)).toEqual([{ first: 1n, dropped: 0n, ids: ["a:1", "b:1"] }]);
    log.record(decision("c"));
    expect((await reported(2))[1]).toEqual({ first: 3n, dropped: 0n, ids: ["c:1"] });
  });

  it("replaces what waits by what is known now, and says again what was sent", async () => {
    const { log, reported } = createLog();
    log.record(decision("a"));
    log.record(decision("a", Verdict.DENIED));
    expect((await reported(1))[0]?.ids).toEqual(["a:2"]);
    log.record(decision("a", Verdict.FAILED));
    expect((await reported(2))[1]).toEqual({ first: 2n, dropped: 0n, ids: ["a:3"] });
  });

  it("keeps a report that failed and sends the same again", async () => {
    let failures = 1;
    const { log, reported } = createLog({
      answer: () => {
        if (failures-- > 0) throw new ServiceError("UNAVAILABLE", "the service is down");
      },
    });
    log.record(decision("a"));
    const [first, second] = await reported(2);
    expect(second).toEqual(first);
  });

  it("R14: drops what does not fit, counts it, and leaves a gap in the sequence", async () => {
    const { log, reported, dropped } = createLog({ capacity: 2 });
    for (const id of ["a", "b", "c", "d"]) log.record(decision(id));
    expect(dropped()).toBe(2);
    await reported(1);
    await expect.poll(() => log.pending).toBe(0);
    log.record(decision("e"));
    expect((await reported(2))[1]).toEqual({ first: 5n, dropped: 2n, ids: ["e:1"] });
  });

  it("does not send a report that is refused for what it says a second time", async () => {
    let refuse = true;
    const { log, reported, dropped } = createLog({
      answer: () => {
        if (refuse) throw new ServiceError("REQUEST_INVALID", "a decision is not well formed");
      },
    });
    log.record(decision("a"));
    await reported(1);
    await expect.poll(dropped).toBe(1);
    refuse = false;
    log.record(decision("b"));
    expect((await reported(2))[1]).toEqual({ first: 2n, dropped: 1n, ids: ["b:1"] });
  });

  it("reports what waits before it stops", async () => {
    const { log, reports } = createLog();
    log.record(decision("a"));
    await log.stop(1000);
    expect(reports.map(({ ids }) => ids)).toEqual([["a:1"]]);
  });
});
