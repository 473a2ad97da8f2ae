import type { Labels } from "./labels.ts";
import type { DesiredPhase, Phase } from "./phase.ts";

/** What a sandbox is to be, complete: limits are there, in numbers. */
export interface SandboxSpec {
  /** The main process; empty means none. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: Limits;
  /** Deleted this long after its creation; undefined means never. */
  readonly ttlMs: number | undefined;
  /** Stopped or deleted when it was idle for so long; undefined means never. */
  readonly idleTimeoutMs: number | undefined;
  readonly idleAction: IdleAction;
  /** What it sees as its file system; undefined means what the driver gives to all that ask for nothing. */
  readonly image?: string | undefined;
}

/** What becomes of a sandbox that has been idle for too long. */
export type IdleAction = "STOP" | "DELETE";

/** Upper bounds of every process in a sandbox. */
export interface Limits {
  readonly processMemoryBytes: number;
  readonly processes: number;
  readonly openFiles: number;
  readonly fileSizeBytes: number;
}

/** Where a sandbox failed. */
export type Stage = "provision" | "start" | "enrol" | "policy" | "confinement" | "identity" | "run";

/** Why a sandbox failed, and what to do about it. */
export interface Failure {
  readonly stage: Stage;
  /** Plain words, without a secret or a path. */
  readonly fault: string;
  readonly retriable: boolean;
  readonly nextCommand: string;
}

/** How a main process ended. */
export type MainExit =
  | { readonly kind: "exited"; readonly code: number }
  | {
      readonly kind: "signalled";
      readonly signal: string /** By the kernel, for the sandbox's limit. */;
      readonly outOfMemory?: true;
    };

/** What the start-up probe of the present incarnation found. */
export type Confinement = "unproved" | "proved" | "broken";

/** What READY waits for. */
export type Prerequisite = "driver" | "supervisor" | "policy" | "confinement";

/** Why a sandbox is to be stopped or deleted. */
export type EndCause = "REQUESTED" | "IDLE" | "EXPIRED";

/** One sandbox, as the store keeps it. Times are milliseconds since the epoch. */
export interface SandboxRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  /** Who created it. */
  readonly ownerUserId: string;
  readonly labels: Labels;
  readonly spec: SandboxSpec;
  /** The request_id under which the first policy is set, so that setting it twice changes nothing. */
  readonly policyRequestId: string;
  readonly desiredPhase: DesiredPhase;
  /** Undefined while it is to be READY, and where it was not known yet. */
  readonly endCause: EndCause | undefined;
  readonly phase: Phase;
  /** Rises with every new backing container; from 1. */
  readonly incarnation: bigint;
  /** Rises with every change that a watcher can see. */
  readonly version: bigint;
  /** Whether Auth has it in the register of subjects. */
  readonly registered: boolean;
  /** The revision of the first policy; undefined until Policy has stored it. */
  readonly policyRevision: bigint | undefined;
  readonly confinement: Confinement;
  /** When the supervisor was last heard; undefined when its stream has ended. */
  readonly supervisorSeenMs: number | undefined;
  readonly failure: Failure | undefined;
  readonly mainExit: MainExit | undefined;
  readonly isolationGaps: readonly string[];
  readonly waitingFor: readonly Prerequisite[];
  readonly createTimeMs: number;
  /** When its present incarnation was begun. */
  readonly startTimeMs: number;
  /** When it entered its phase. */
  readonly phaseTimeMs: number;
  readonly readyTimeMs: number | undefined;
  readonly expireTimeMs: number | undefined;
  /** When its present incarnation was last known to be active. */
  readonly activeTimeMs: number | undefined;
}
