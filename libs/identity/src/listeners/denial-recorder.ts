import type { AuditRecord } from "@sandgate/audit";
import type { Denial } from "../steps/identity-steps.ts";

const anonymousPerSecond = 20;

/**
 * Writes denials into the audit log, each durable before its caller hears of it (G-23). Denials of callers that nobody
 * knows are capped at 20 a second, so that a stranger cannot fill the disk: the next one tells how many were left out.
 */
export function createDenialRecorder(deps: {
  readonly record: (record: AuditRecord, denial: Denial) => Promise<void>;
  readonly clock: () => number;
}): (denial: Denial) => Promise<void> {
  let second = 0;
  let recorded = 0;
  let leftOut = 0;
  return async (denial) => {
    let details: Record<string, string> = { reason: denial.reason, method: denial.method, call_id: denial.callId };
    if (denial.principal === "anonymous" && denial.peer === "none") {
      const now = Math.floor(deps.clock() / 1000);
      if (now !== second) {
        second = now;
        recorded = 0;
      }
      if (recorded >= anonymousPerSecond) {
        leftOut += 1;
        return;
      }
      recorded += 1;
      if (leftOut > 0) details = { ...details, left_out_before: String(leftOut) };
      leftOut = 0;
    }
    const record: AuditRecord = {
      action: "call.denied",
      principal: denial.principal,
      peer: denial.peer,
      organizationId: denial.organizationId,
      sandboxId: denial.sandboxId,
      details,
    };
    await deps.record(record, denial);
  };
}
