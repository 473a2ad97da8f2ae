import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextStep, type Observation, type Step } from "./next-step.ts";
import { canFollow, phases } from "./phase.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

const patience = { provisioningMs: 60_000, startingMs: 60_000 };

function row(part: Partial<SandboxRecord>): SandboxRecord {
  return {
    id: "sbx-a2a2a2a2a2a2a2a2a2a2",
    organizationId: "0d9a0000-0000-4000-8000-000000000001",
    name: "web",
    ownerUserId: "u",
    labels: {},
    spec: {
      command: [],
      environment: {},
      limits: { processMemoryBytes: 1, processes: 1, openFiles: 1, fileSizeBytes: 1 },
      ttlMs: undefined,
      idleTimeoutMs: undefined,
      idleAction: "STOP",
    },
    policyRequestId: "r",
    desiredPhase: "READY",
    endCause: undefined,
    phase: "PENDING",
    incarnation: 1n,
    version: 1n,
    registered: true,
    policyRevision: 1n,
    confinement: "proved",
    supervisorSeenMs: 0,
    failure: undefined,
    mainExit: undefined,
    isolationGaps: [],
    waitingFor: [],
    createTimeMs: 0,
    startTimeMs: 0,
    phaseTimeMs: 0,
    readyTimeMs: undefined,
    expireTimeMs: undefined,
    activeTimeMs: undefined,
    ...part,
  };
}

function seen(part: Partial<Observation> = {}): Observation {
  return {
    nowMs: 1000,
    running: true,
    enforcement: { revision: 1n, fault: "" },
    supervisorPresent: true,
    revoked: false,
    mainCommandDue: false,
    lastFault: undefined,
    ...part,
  };
}

function outcome(step: Step): string {
  switch (step.kind) {
    case "wait":
    case "begin":
      return step.kind;
    case "act":
      return step.next === undefined ? step.action : `${step.action} -> ${step.next}`;
    case "record":
      return step.failure === undefined
        ? [step.phase, ...step.waitingFor].join(" ")
        : `${step.phase} ${step.failure.stage}: ${step.failure.fault}`;
  }
}

const command = { ...row({}).spec, command: ["true"] };

describe("the reconciler's next step for a sandbox that is wanted", () => {
  it.each<[string, Partial<SandboxRecord>, Partial<Observation>, string]>([
    ["recorded", {}, {}, "provision -> PROVISIONING"],
    ["registered", { phase: "PROVISIONING" }, {}, "launch -> STARTING"],
    ["not provisioned in time", {}, { nowMs: 60_001 }, "FAILED provision: it could not be provisioned in time"],
    [
      "not provisioned for a reason",
      { phase: "PROVISIONING" },
      { nowMs: 60_001, lastFault: "auth is not there" },
      "FAILED provision: auth is not there",
    ],
    ["started, all is there", { phase: "STARTING" }, {}, "READY"],
    [
      "started, nothing else",
      { phase: "STARTING", confinement: "unproved" },
      { supervisorPresent: false, enforcement: undefined },
      "STARTING supervisor policy confinement",
    ],
    ["started, an older policy enforced", { phase: "STARTING", policyRevision: 2n }, {}, "STARTING policy"],
    ["started, waiting as recorded", { phase: "STARTING", waitingFor: ["policy"] }, { enforcement: undefined }, "wait"],
    [
      "started, probe broke out",
      { phase: "STARTING", confinement: "broken" },
      {},
      "FAILED confinement: the start-up probe could do what a workload must not be able to do",
    ],
    [
      "started, gone",
      { phase: "STARTING" },
      { running: false },
      "FAILED start: the supervisor ended before the sandbox was ready",
    ],
    [
      "started, gone, with last words",
      { phase: "STARTING" },
      { running: false, lastFault: "no such file" },
      "FAILED start: no such file",
    ],
    [
      "started, no supervisor in time",
      { phase: "STARTING" },
      { nowMs: 60_001, supervisorPresent: false },
      "FAILED enrol: the supervisor did not connect in time",
    ],
    [
      "started, no policy in time",
      { phase: "STARTING" },
      { nowMs: 60_001, enforcement: undefined },
      "FAILED policy: no proxy enforced the policy in time",
    ],
    [
      "started, a proxy that cannot",
      { phase: "STARTING" },
      { nowMs: 60_001, enforcement: { revision: 0n, fault: "no socket" } },
      "FAILED policy: no socket",
    ],
    [
      "started, no probe in time",
      { phase: "STARTING", confinement: "unproved" },
      { nowMs: 60_001 },
      "FAILED confinement: the start-up probe did not report in time",
    ],
    [
      "was ready, control plane away for long",
      { phase: "STARTING", readyTimeMs: 1, waitingFor: ["supervisor"] },
      { nowMs: 9e9, supervisorPresent: false },
      "wait",
    ],
    ["was ready, supervisor back", { phase: "STARTING", readyTimeMs: 1, waitingFor: ["supervisor"] }, {}, "READY"],
    ["ready", { phase: "READY" }, {}, "wait"],
    ["ready, main due", { phase: "READY", spec: command }, { mainCommandDue: true }, "start-main"],
    ["ready, no main to start", { phase: "READY" }, { mainCommandDue: true }, "wait"],
    ["ready, revoked", { phase: "READY" }, { revoked: true }, "FAILED identity: revoked"],
    [
      "ready, supervisor process gone",
      { phase: "READY", readyTimeMs: 1 },
      { running: false },
      "FAILED run: supervisor lost",
    ],
    ["ready, supervisor silent", { phase: "READY" }, { supervisorPresent: false }, "STARTING supervisor"],
    ["ready, main exited 0", { phase: "READY", spec: command, mainExit: { kind: "exited", code: 0 } }, {}, "COMPLETED"],
    [
      "ready, main exited 0 and then gone",
      { phase: "READY", spec: command, mainExit: { kind: "exited", code: 0 } },
      { running: false },
      "COMPLETED",
    ],
    [
      "ready, main exited 3",
      { phase: "READY", spec: command, mainExit: { kind: "exited", code: 3 } },
      {},
      "FAILED run: the main process exited with an error",
    ],
    [
      "ready, main killed",
      { phase: "READY", spec: command, mainExit: { kind: "signalled", signal: "SIGKILL" } },
      {},
      "FAILED run: the main process was ended by a signal",
    ],
    [
      "ready, main killed for its memory",
      { phase: "READY", spec: command, mainExit: { kind: "signalled", signal: "SIGKILL", outOfMemory: true } },
      {},
      "FAILED run: the main process was ended because the sandbox's memory was used up",
    ],
    [
      "ready, an exit of a main process that it does not have",
      { phase: "READY", mainExit: { kind: "exited", code: 0 } },
      {},
      "wait",
    ],
    ["failed, still running", { phase: "FAILED" }, {}, "end"],
    ["failed before it was registered", { phase: "FAILED", registered: false }, { running: false }, "register"],
    ["failed, its identity still good", { phase: "FAILED" }, { running: false }, "end"],
    ["failed, its identity revoked, still running", { phase: "FAILED" }, { revoked: true }, "end"],
    ["failed", { phase: "FAILED" }, { running: false, revoked: true }, "wait"],
    ["completed, still running", { phase: "COMPLETED" }, { revoked: true }, "end"],
    ["completed, its identity still good", { phase: "COMPLETED" }, { running: false }, "end"],
    ["completed", { phase: "COMPLETED" }, { running: false, revoked: true }, "wait"],
    ["being stopped, to run again", { phase: "STOPPING" }, {}, "suspend -> STOPPED"],
    ["stopped, to run again", { phase: "STOPPED" }, { running: false, revoked: true }, "begin"],
    ["begun again long after its creation", { startTimeMs: 9e9 - 1 }, { nowMs: 9e9 }, "provision -> PROVISIONING"],
  ])("%s", (_, part, observed, expected) => {
    expect(outcome(nextStep(row(part), seen(observed), patience))).toBe(expected);
  });
});

describe("the reconciler's next step for a sandbox that is to stand still", () => {
  it.each<[string, Partial<SandboxRecord>, Partial<Observation>, string]>([
    ...(["PENDING", "PROVISIONING", "STARTING", "READY"] as const).map(
      (phase) => [`in ${phase}`, { phase }, {}, "STOPPING"] as [string, Partial<SandboxRecord>, object, string],
    ),
    ["being stopped", { phase: "STOPPING" }, {}, "suspend -> STOPPED"],
    ["stopped, still running", { phase: "STOPPED" }, { revoked: true }, "end"],
    ["stopped, its identity still good", { phase: "STOPPED" }, { running: false }, "end"],
    ["stopped before it was registered", { phase: "STOPPED", registered: false }, { running: false }, "register"],
    ["stopped", { phase: "STOPPED" }, { running: false, revoked: true }, "wait"],
    ["completed before", { phase: "COMPLETED" }, { running: false, revoked: true }, "wait"],
  ])("%s", (_, part, observed, expected) => {
    expect(outcome(nextStep(row({ ...part, desiredPhase: "STOPPED" }), seen(observed), patience))).toBe(expected);
  });
});

describe("the reconciler's next step for a sandbox that is to go", () => {
  it.each([
    ...(["PENDING", "PROVISIONING", "STARTING", "READY", "COMPLETED", "FAILED"] as const).map(
      (phase) => [phase, "STOPPING"] as const,
    ),
    ["STOPPING", "halt -> STOPPED"] as const,
    ["STOPPED", "DELETING"] as const,
    ["DELETING", "destroy -> DELETED"] as const,
    ["DELETED", "wait"] as const,
  ])("in %s: %s", (phase, expected) => {
    expect(outcome(nextStep(row({ phase, desiredPhase: "DELETED" }), seen(), patience))).toBe(expected);
  });
});

describe("the reconciler's next step in any state", () => {
  const anyRow = fc.record({
    phase: fc.constantFrom(...phases),
    desiredPhase: fc.constantFrom("READY" as const, "STOPPED" as const, "DELETED" as const),
    registered: fc.boolean(),
    policyRevision: fc.constantFrom(undefined, 1n, 2n),
    confinement: fc.constantFrom("unproved" as const, "proved" as const, "broken" as const),
    readyTimeMs: fc.constantFrom(undefined, 5),
    mainExit: fc.constantFrom(undefined, { kind: "exited" as const, code: 0 }, { kind: "exited" as const, code: 1 }),
    spec: fc.constantFrom(row({}).spec, command),
  });
  const anyView = fc.record({
    nowMs: fc.constantFrom(1000, 100_000),
    running: fc.boolean(),
    enforcement: fc.constantFrom(undefined, { revision: 0n, fault: "x" }, { revision: 1n, fault: "" }),
    supervisorPresent: fc.boolean(),
    revoked: fc.boolean(),
    mainCommandDue: fc.boolean(),
  });

  it("only ever goes to a phase that may follow, and never to READY with something missing", () => {
    fc.assert(
      fc.property(anyRow, anyView, (part, view) => {
        const record = row(part);
        const observed = seen(view);
        const step = nextStep(record, observed, patience);
        const to =
          step.kind === "begin"
            ? "PENDING"
            : step.kind === "record"
              ? step.phase
              : step.kind === "act"
                ? step.next
                : undefined;
        if (to !== undefined && to !== record.phase) expect(canFollow(record.phase, to)).toBe(true);
        if (to === "READY") {
          expect(observed.running && observed.supervisorPresent && !observed.revoked).toBe(true);
          expect(record.confinement).toBe("proved");
          expect((observed.enforcement?.revision ?? 0n) >= (record.policyRevision ?? 9n)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
