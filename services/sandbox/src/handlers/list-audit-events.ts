import type { SandboxService } from "@sandgate/api/sandbox";
import { type AuditLog, AuditPageTokenError } from "@sandgate/audit";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { readPageSize } from "../domain/page-size.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireUser } from "./require-user.ts";

/** SandboxService.ListAuditEvents: this service's audit log for the caller's organization, newest first. */
export function listAuditEvents(deps: {
  readonly audit: Pick<AuditLog, "list">;
}): Handler<typeof SandboxService.method.listAuditEvents> {
  return async (request, call) => {
    const { organizationId } = requireUser(call);
    const { limit, faults } = readPageSize(request.pageSize);
    requireNoFaults(faults);
    try {
      return await deps.audit.list({
        organizationId,
        sandboxId: request.sandboxId,
        action: request.action,
        pageSize: limit,
        pageToken: request.pageToken,
      });
    } catch (cause) {
      if (!(cause instanceof AuditPageTokenError)) throw cause;
      throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not one of this list", { field: "page_token" });
    }
  };
}
