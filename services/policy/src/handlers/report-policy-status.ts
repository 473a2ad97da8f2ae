import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { readEnforcement } from "../messages/enforcement-report.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.ReportPolicyStatus: a proxy says what it enforces. What is not known, or retired, is passed over. */
export function reportPolicyStatus(deps: {
  readonly store: PolicyStore;
}): Handler<typeof PolicyService.method.reportPolicyStatus> {
  return async (request) => {
    if (request.enforcements.length > 1000)
      throw new ServiceError("REQUEST_INVALID", "a report has at most 1000 enforcements", { field: "enforcements" });
    await deps.store.saveEnforcements(request.enforcements.map(readEnforcement));
    return {};
  };
}
