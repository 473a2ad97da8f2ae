import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  EndCause,
  ExitReason,
  IdleAction,
  Phase,
  type ProcessExit,
  ProcessExitSchema,
  type Sandbox,
  SandboxSchema,
  type SandboxSpec as SandboxSpecMessage,
  SandboxSpecSchema,
} from "@sandgate/api/sandbox";
import type { MainExit, SandboxRecord, SandboxSpec } from "../domain/sandbox-record.ts";

/** A spec as the contract has it. */
export function toSpecMessage(spec: SandboxSpec): SandboxSpecMessage {
  return create(SandboxSpecSchema, {
    command: [...spec.command],
    environment: { ...spec.environment },
    limits: {
      processMemoryBytes: BigInt(spec.limits.processMemoryBytes),
      processes: spec.limits.processes,
      openFiles: spec.limits.openFiles,
      fileSizeBytes: BigInt(spec.limits.fileSizeBytes),
    },
    image: spec.image ?? "",
    ...(spec.ttlMs !== undefined && { ttl: durationFromMs(spec.ttlMs) }),
    ...(spec.idleTimeoutMs !== undefined && {
      idleTimeout: durationFromMs(spec.idleTimeoutMs),
      idleAction: IdleAction[spec.idleAction],
    }),
  });
}

function toExitMessage(exit: MainExit): ProcessExit {
  switch (exit.kind) {
    case "exited":
      return create(ProcessExitSchema, { reason: ExitReason.EXITED, code: exit.code });
    case "signalled":
      return create(ProcessExitSchema, {
        reason: exit.outOfMemory === true ? ExitReason.OUT_OF_MEMORY : ExitReason.SIGNALLED,
        signal: exit.signal,
      });
  }
}

/** A sandbox as the contract has it. */
export function toSandboxMessage(record: SandboxRecord, trustDomain: string): Sandbox {
  const { failure, mainExit, activeTimeMs } = record;
  const { idleTimeoutMs } = record.spec;
  const isIdling = record.phase === "READY" && record.desiredPhase === "READY";
  return create(SandboxSchema, {
    id: record.id,
    name: record.name,
    organizationId: record.organizationId,
    ownerUserId: record.ownerUserId,
    spiffeId: `spiffe://${trustDomain}/sandbox/${record.id}`,
    phase: Phase[record.phase],
    desiredPhase: Phase[record.desiredPhase],
    incarnation: record.incarnation,
    spec: toSpecMessage(record.spec),
    isolationGaps: [...record.isolationGaps],
    ...(failure !== undefined && { failure: { ...failure } }),
    ...(mainExit !== undefined && { mainExit: toExitMessage(mainExit) }),
    createTime: timestampFromMs(record.createTimeMs),
    startTime: timestampFromMs(record.startTimeMs),
    ...(record.readyTimeMs !== undefined && { readyTime: timestampFromMs(record.readyTimeMs) }),
    ...(record.expireTimeMs !== undefined && { expireTime: timestampFromMs(record.expireTimeMs) }),
    waitingFor: [...record.waitingFor],
    labels: { ...record.labels },
    ...(record.endCause !== undefined && { endCause: EndCause[record.endCause] }),
    ...(activeTimeMs !== undefined && { activeTime: timestampFromMs(activeTimeMs) }),
    ...(activeTimeMs !== undefined &&
      idleTimeoutMs !== undefined &&
      isIdling && { idleTime: timestampFromMs(activeTimeMs + idleTimeoutMs) }),
  });
}
