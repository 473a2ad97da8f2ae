import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EndCause, Phase, type SandboxSchema, WatchSandboxResponseSchema } from "@sandgate/api/sandbox";
import { describe, expect, it } from "vitest";
import { explain } from "./explanation.ts";

const change = (timeMs: number, sandbox: MessageInitShape<typeof SandboxSchema>) =>
  create(WatchSandboxResponseSchema, {
    sandbox: { name: "web", incarnation: 1n, desiredPhase: Phase.READY, ...sandbox },
    changeTime: timestampFromMs(timeMs),
  });
const failure = { stage: "enrol", fault: "the supervisor did not connect in time", nextCommand: "sandgate doctor" };

describe("an explanation", () => {
  it("of a sandbox that starts says what it waits for, since when, and what to type", () => {
    const explanation = explain([
      change(1_000, { phase: Phase.PENDING }),
      change(1_010, { phase: Phase.PROVISIONING }),
      change(1_100, { phase: Phase.STARTING, waitingFor: ["supervisor", "policy"] }),
      change(1_900, { phase: Phase.STARTING, waitingFor: ["policy"] }),
    ]);
    expect(explanation).toMatchObject({
      summary: "it is being started: no egress proxy has said that it enforces its policy",
      waitingFor: [{ name: "policy" }],
      nextCommand: "sandgate status",
      lastFailure: undefined,
    });
    expect(explanation?.stages.map(({ phase, durationMs }) => [Phase[phase], durationMs])).toEqual([
      ["PENDING", 10],
      ["PROVISIONING", 90],
      ["STARTING", undefined],
    ]);
  });

  it("of one that failed says where, why and what to type", () => {
    expect(explain([change(1, { phase: Phase.FAILED, failure })])).toMatchObject({
      summary: "it failed at enrol: the supervisor did not connect in time",
      nextCommand: "sandgate doctor",
    });
  });

  it("of one that runs again remembers the failure, and tells the stages of the present incarnation alone", () => {
    const explanation = explain([
      change(1, { phase: Phase.STARTING }),
      change(2, { phase: Phase.FAILED, failure }),
      change(3, { phase: Phase.STOPPED, failure }),
      change(4, { phase: Phase.PENDING, incarnation: 2n }),
      change(5, { phase: Phase.READY, incarnation: 2n }),
    ]);
    expect(explanation).toMatchObject({
      summary: "it is ready",
      nextCommand: undefined,
      lastFailure: { incarnation: 1n, stage: "enrol" },
    });
    expect(explanation?.stages.map(({ phase }) => Phase[phase])).toEqual(["PENDING", "READY"]);
  });

  it.each([
    [{ phase: Phase.STOPPED, desiredPhase: Phase.STOPPED }, "it is stopped", "sandgate start web"],
    [
      { phase: Phase.STOPPED, desiredPhase: Phase.STOPPED, endCause: EndCause.IDLE },
      "it is stopped, because nothing had happened in it for its idle timeout",
      "sandgate start web",
    ],
    [
      { phase: Phase.DELETING, desiredPhase: Phase.DELETED, endCause: EndCause.EXPIRED },
      "it is being removed, because its time to live was over",
      "sandgate status",
    ],
    [{ phase: Phase.STOPPED, desiredPhase: Phase.READY }, "it is on its way to READY", "sandgate status"],
    [{ phase: Phase.STOPPING, desiredPhase: Phase.STOPPED }, "it is being stopped", "sandgate status"],
    [{ phase: Phase.DELETING, desiredPhase: Phase.DELETED }, "it is being removed", "sandgate status"],
    [{ phase: Phase.DELETED, desiredPhase: Phase.DELETED }, "it is removed", undefined],
    [{ phase: Phase.COMPLETED }, "its main process has ended with 0", "sandgate logs web"],
  ])("of %o: %s", (sandbox, summary, nextCommand) => {
    expect(explain([change(1, sandbox)])).toMatchObject({ summary, nextCommand });
  });

  it("of nothing is none", () => {
    expect(explain([])).toBeUndefined();
  });
});
