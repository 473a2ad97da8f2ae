import type { Phase } from "../domain/phase.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { LifecycleEvent } from "../store/sandbox-store.ts";

const actions: Readonly<Partial<Record<Phase, string>>> = {
  READY: "sandbox.ready",
  COMPLETED: "sandbox.completed",
  FAILED: "sandbox.failed",
  STOPPED: "sandbox.stopped",
  DELETED: "sandbox.deleted",
};

/** What the audit log is to say of a change that the reconciler made; undefined for the steps in between. */
export function lifecycleEvent(
  before: SandboxRecord,
  after: SandboxRecord,
  spiffeId: string,
): LifecycleEvent | undefined {
  const action = before.phase === after.phase ? undefined : actions[after.phase];
  if (action === undefined) return undefined;
  const failure = after.phase === "FAILED" ? after.failure : undefined;
  return {
    action,
    principal: spiffeId,
    peer: "none",
    details: {
      incarnation: String(after.incarnation),
      ...(failure !== undefined && { stage: failure.stage, fault: failure.fault }),
    },
  };
}
