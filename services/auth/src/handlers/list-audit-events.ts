import type { AuthService } from "@sandgate/api/auth";
import { type AuditLog, AuditPageTokenError } from "@sandgate/audit";
import { principalKey } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";

/** AuthService.ListAuditEvents: this service's audit log for the caller's organization, newest first. */
export function listAuditEvents(deps: {
  readonly audit: Pick<AuditLog, "list">;
}): Handler<typeof AuthService.method.listAuditEvents> {
  return async ({ pageSize, pageToken, sandboxId, action }, call) => {
    const principal = call.get(principalKey);
    if (principal.kind !== "user") throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call needs a user");
    if (pageSize < 0 || pageSize > 1_000)
      throw new ServiceError("REQUEST_INVALID", "a page has at most 1000 events", { field: "page_size" });
    try {
      return await deps.audit.list({
        organizationId: principal.organizationId,
        pageSize,
        pageToken,
        sandboxId,
        action,
      });
    } catch (cause) {
      if (!(cause instanceof AuditPageTokenError)) throw cause;
      throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not of this list", {}, { cause });
    }
  };
}
