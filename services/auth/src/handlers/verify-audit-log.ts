import type { AuthService } from "@sandgate/api/auth";
import { type AuditLog, isAuditHead, toVerificationOutcome } from "@sandgate/audit";
import { type Handler, ServiceError } from "@sandgate/rpc";

/** AuthService.VerifyAuditLog: whether every record of this service's audit log is as it was written. */
export function verifyAuditLog(deps: {
  readonly audit: Pick<AuditLog, "verify">;
}): Handler<typeof AuthService.method.verifyAuditLog> {
  return async ({ expected }, call) => {
    if (expected !== undefined && !isAuditHead(expected))
      throw new ServiceError("REQUEST_INVALID", "the expected head is none", { field: "expected" });
    const verification = await deps.audit.verify({ signal: call.signal, ...(expected !== undefined && { expected }) });
    return { outcome: toVerificationOutcome(verification) };
  };
}
