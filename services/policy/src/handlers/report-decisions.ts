import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { proxyRunIdPattern } from "../domain/ids.ts";
import { readDecision } from "../messages/decision-message.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.ReportDecisions: stores what a proxy decided; what is stored already changes nothing. */
export function reportDecisions(deps: {
  readonly store: PolicyStore;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.reportDecisions> {
  return async (request) => {
    if (!proxyRunIdPattern.test(request.proxyRunId))
      throw new ServiceError("REQUEST_INVALID", "a run is named by up to 64 letters, digits and dashes", {
        field: "proxy_run_id",
      });
    if (request.decisions.length > 1000)
      throw new ServiceError("REQUEST_INVALID", "a report has at most 1000 decisions", { field: "decisions" });
    const now = deps.clock();
    const storedSequence = await deps.store.storeDecisions({
      proxyRunId: request.proxyRunId,
      firstSequence: request.firstSequence,
      decisions: request.decisions.map((decision, index) => readDecision(decision, index, now)),
      dropped: request.dropped,
    });
    return { storedSequence };
  };
}
