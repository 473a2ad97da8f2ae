import type { PolicyService } from "@sandgate/api/policy";
import { type AuditLog, AuditPageTokenError } from "@sandgate/audit";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { readPageSize } from "../messages/page-size.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.ListAuditEvents: this service's audit log for the caller's organization, newest first. */
export function listAuditEvents(deps: {
  readonly audit: AuditLog;
}): Handler<typeof PolicyService.method.listAuditEvents> {
  return async (request, call) => {
    try {
      return await deps.audit.list({
        organizationId: organizationOf(call),
        sandboxId: request.sandboxId,
        action: request.action,
        pageSize: readPageSize(request.pageSize),
        pageToken: request.pageToken,
      });
    } catch (error) {
      if (!(error instanceof AuditPageTokenError)) throw error;
      throw new ServiceError("PAGE_TOKEN_INVALID", "the page token does not belong to this list and filter");
    }
  };
}
