import type { MessageInitShape } from "@bufbuild/protobuf";
import { AuditFault, type AuditHeadSchema, type BrokenAuditRecordSchema } from "@sandgate/api/audit";
import type { AuditHead, AuditVerification } from "./verify-audit-log.ts";

const faults = {
  changed: AuditFault.CHANGED,
  missing: AuditFault.MISSING,
  unexpected: AuditFault.UNEXPECTED,
  rewritten: AuditFault.REWRITTEN,
} as const;

/** The outcome of a check as the services' VerifyAuditLog answers it. */
export function toVerificationOutcome(
  verification: AuditVerification,
):
  | { readonly case: "intact"; readonly value: MessageInitShape<typeof AuditHeadSchema> }
  | { readonly case: "broken"; readonly value: MessageInitShape<typeof BrokenAuditRecordSchema> } {
  switch (verification.kind) {
    case "intact":
      return { case: "intact", value: verification.head };
    case "broken":
      return { case: "broken", value: { sequence: verification.sequence, fault: faults[verification.fault] } };
  }
}

/** Whether what a caller sent can be the end of a log. */
export function isAuditHead(head: AuditHead): boolean {
  return head.sequence >= 0n && /^[0-9a-f]{64}$/.test(head.hash);
}
