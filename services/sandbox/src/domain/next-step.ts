import type { Phase } from "./phase.ts";
import type { Failure, Prerequisite, SandboxRecord, Stage } from "./sandbox-record.ts";

/** What can be seen of a sandbox outside its row. */
export interface Observation {
  readonly nowMs: number;
  /** Whether the machine runs the supervisor of the row's incarnation. */
  readonly running: boolean;
  /** What the egress proxy enforces for it; undefined when nothing was heard of it. */
  readonly enforcement: { readonly revision: bigint; readonly fault: string } | undefined;
  /** Whether its supervisor was heard within the time after which it counts as lost. */
  readonly supervisorPresent: boolean;
  /** Whether its identity is revoked: by hand, or because the sandbox is over. */
  readonly revoked: boolean;
  /** Whether the supervisor's stream is here and was not yet told to start the main process. */
  readonly mainCommandDue: boolean;
  /** What the last attempt of the present phase met, in plain words. */
  readonly lastFault: string | undefined;
}

/** How long a sandbox may take, in milliseconds. */
export interface Patience {
  /** From the beginning of its incarnation until it is started. */
  readonly provisioningMs: number;
  /** From its start until it is first READY. */
  readonly startingMs: number;
}

/**
 * Something to do outside the row. Each may be repeated at any time.
 * `provision`: directories, then the register of subjects. `launch`: the first policy and the supervisor, side by side.
 * `start-main`: tells the supervisor to start the main process. `register`: the register of subjects alone.
 * `end`: the incarnation's identity, and every process. `suspend`: the same, and the way to this service. `halt`: the same for good, with
 * the sandbox's entry in the register.
 * `destroy`: everything on the machine.
 */
export type Action = "provision" | "launch" | "start-main" | "register" | "end" | "suspend" | "halt" | "destroy";

/** What the reconciler does next with a sandbox. */
export type Step =
  /** Nothing, until something changes. */
  | { readonly kind: "wait" }
  /** Do it; where `next` is set, the sandbox is in that phase afterwards. */
  | { readonly kind: "act"; readonly action: Action; readonly next?: Phase }
  /** Begin the next incarnation, which is PENDING and knows nothing of the one before. */
  | { readonly kind: "begin" }
  | {
      readonly kind: "record";
      readonly phase: Phase;
      readonly waitingFor: readonly Prerequisite[];
      readonly failure?: Failure;
    };

const nextCommands: Readonly<Record<Stage, (name: string) => string>> = {
  provision: () => "sandgate status",
  start: () => "sandgate doctor",
  enrol: () => "sandgate doctor",
  policy: () => "sandgate status",
  confinement: () => "sandgate doctor",
  identity: (name) => `sandgate rm ${name}`,
  run: (name) => `sandgate logs ${name}`,
};

/** The diagnosis of a sandbox that failed. */
export function createFailure(name: string, stage: Stage, fault: string, retriable: boolean): Failure {
  return { stage, fault, retriable, nextCommand: nextCommands[stage](name) };
}

/** What READY still waits for. */
export function findMissing(
  row: Pick<SandboxRecord, "policyRevision" | "confinement">,
  observed: Pick<Observation, "running" | "supervisorPresent" | "enforcement">,
): Prerequisite[] {
  const enforced = row.policyRevision !== undefined && (observed.enforcement?.revision ?? 0n) >= row.policyRevision;
  const missing: Prerequisite[] = [];
  if (!observed.running) missing.push("driver");
  if (!observed.supervisorPresent) missing.push("supervisor");
  if (!enforced) missing.push("policy");
  if (row.confinement !== "proved") missing.push("confinement");
  return missing;
}

function fail(row: SandboxRecord, stage: Stage, fault: string, retriable: boolean): Step {
  return { kind: "record", phase: "FAILED", waitingFor: [], failure: createFailure(row.name, stage, fault, retriable) };
}

function endOfMain(row: SandboxRecord): Step {
  const exit = row.mainExit;
  if (exit?.kind === "exited" && exit.code === 0) return { kind: "record", phase: "COMPLETED", waitingFor: [] };
  return fail(row, "run", faultOf(exit), false);
}

function faultOf(exit: SandboxRecord["mainExit"]): string {
  if (exit?.kind !== "signalled") return "the main process exited with an error";
  return exit.outOfMemory === true
    ? "the main process was ended because the sandbox's memory was used up"
    : "the main process was ended by a signal";
}

/** Why a started sandbox can not go on, if it cannot. */
function findEnd(row: SandboxRecord, observed: Observation): Step | undefined {
  if (row.confinement === "broken")
    return fail(row, "confinement", "the start-up probe could do what a workload must not be able to do", false);
  if (observed.revoked) return fail(row, "identity", "revoked", false);
  // a supervisor that reports the end of what it was never told to start ends nothing
  if (row.mainExit !== undefined && row.spec.command.length > 0) return endOfMain(row);
  if (observed.running) return undefined;
  if (row.readyTimeMs !== undefined) return fail(row, "run", "supervisor lost", true);
  return fail(row, "start", observed.lastFault ?? "the supervisor ended before the sandbox was ready", true);
}

function failOverdue(row: SandboxRecord, observed: Observation, missing: readonly Prerequisite[]): Step {
  if (missing.includes("driver")) return fail(row, "start", "the driver did not start it in time", true);
  if (missing.includes("supervisor")) return fail(row, "enrol", "the supervisor did not connect in time", true);
  if (missing.includes("policy")) {
    const fault = observed.enforcement?.fault ?? "";
    return fail(row, "policy", fault === "" ? "no proxy enforced the policy in time" : fault, true);
  }
  return fail(row, "confinement", "the start-up probe did not report in time", true);
}

function nextOfStarting(row: SandboxRecord, observed: Observation, patience: Patience): Step {
  const end = findEnd(row, observed);
  if (end !== undefined) return end;
  const missing = findMissing(row, observed);
  if (missing.length === 0) return { kind: "record", phase: "READY", waitingFor: [] };
  if (row.readyTimeMs === undefined && observed.nowMs - row.phaseTimeMs > patience.startingMs)
    return failOverdue(row, observed, missing);
  if (missing.join() !== row.waitingFor.join()) return { kind: "record", phase: "STARTING", waitingFor: missing };
  return { kind: "wait" };
}

function nextOfReady(row: SandboxRecord, observed: Observation): Step {
  const end = findEnd(row, observed);
  if (end !== undefined) return end;
  if (!observed.supervisorPresent) return { kind: "record", phase: "STARTING", waitingFor: ["supervisor"] };
  if (observed.mainCommandDue && row.spec.command.length > 0) return { kind: "act", action: "start-main" };
  return { kind: "wait" };
}

function nextOfOver(row: SandboxRecord, observed: Observation): Step {
  if (observed.running || (row.registered && !observed.revoked)) return { kind: "act", action: "end" };
  // without an entry in the register its owner could neither name nor delete it
  if (!row.registered) return { kind: "act", action: "register" };
  return { kind: "wait" };
}

function nextOfWanted(row: SandboxRecord, observed: Observation, patience: Patience): Step {
  switch (row.phase) {
    case "PENDING":
    case "PROVISIONING":
      if (observed.nowMs - row.startTimeMs > patience.provisioningMs)
        return fail(row, "provision", observed.lastFault ?? "it could not be provisioned in time", true);
      return row.phase === "PENDING"
        ? { kind: "act", action: "provision", next: "PROVISIONING" }
        : { kind: "act", action: "launch", next: "STARTING" };
    case "STARTING":
      return nextOfStarting(row, observed, patience);
    case "READY":
      return nextOfReady(row, observed);
    case "COMPLETED":
    case "FAILED":
      return nextOfOver(row, observed);
    case "STOPPING":
      return { kind: "act", action: "suspend", next: "STOPPED" };
    case "STOPPED":
      return { kind: "begin" };
    case "DELETING":
    case "DELETED":
      return { kind: "wait" };
  }
}

function nextOfStopped(row: SandboxRecord, observed: Observation): Step {
  switch (row.phase) {
    case "PENDING":
    case "PROVISIONING":
    case "STARTING":
    case "READY":
      return { kind: "record", phase: "STOPPING", waitingFor: [] };
    case "STOPPING":
      return { kind: "act", action: "suspend", next: "STOPPED" };
    case "STOPPED":
    case "COMPLETED":
    case "FAILED":
      return nextOfOver(row, observed);
    case "DELETING":
    case "DELETED":
      return { kind: "wait" };
  }
}

function nextOfUnwanted(row: SandboxRecord): Step {
  switch (row.phase) {
    case "PENDING":
    case "PROVISIONING":
    case "STARTING":
    case "READY":
    case "COMPLETED":
    case "FAILED":
      return { kind: "record", phase: "STOPPING", waitingFor: [] };
    case "STOPPING":
      return { kind: "act", action: "halt", next: "STOPPED" };
    case "STOPPED":
      return { kind: "record", phase: "DELETING", waitingFor: [] };
    case "DELETING":
      return { kind: "act", action: "destroy", next: "DELETED" };
    case "DELETED":
      return { kind: "wait" };
  }
}

/**
 * What to do next with a sandbox, from its row and what can be seen of it. Following it from any state, whatever was
 * interrupted before, ends in the desired phase, in COMPLETED or in FAILED.
 */
export function nextStep(row: SandboxRecord, observed: Observation, patience: Patience): Step {
  switch (row.desiredPhase) {
    case "READY":
      return nextOfWanted(row, observed, patience);
    case "STOPPED":
      return nextOfStopped(row, observed);
    case "DELETED":
      return nextOfUnwanted(row);
  }
}
