import { type PolicyService, Verdict } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { encodePageToken } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { decisionIdPattern } from "../domain/ids.ts";
import { writeDecision } from "../messages/decision-message.ts";
import { readPageSize } from "../messages/page-size.ts";
import { readPageToken } from "../messages/page-token.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.ListDecisions: what a sandbox's proxy decided, newest first. */
export function listDecisions(deps: {
  readonly store: PolicyStore;
}): Handler<typeof PolicyService.method.listDecisions> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const verdicts = [...new Set(request.verdicts)].sort();
    if (!verdicts.every((verdict) => verdict !== Verdict.UNSPECIFIED && Verdict[verdict] !== undefined))
      throw new ServiceError("REQUEST_INVALID", "a verdict is not known", { field: "verdicts" });
    const filter = { list: "decisions", sandbox: scope.sandboxId, verdicts: verdicts.join(",") };
    const last = readPageToken(request.pageToken, [/^[0-9]{1,18}$/, decisionIdPattern], filter);
    const page = await deps.store.listDecisions(scope, {
      verdicts,
      pageSize: readPageSize(request.pageSize),
      before: last === undefined ? undefined : { timeUs: BigInt(last[0]), decisionId: last[1] },
    });
    const end = page.items.at(-1);
    return {
      decisions: page.items.map(writeDecision),
      nextPageToken:
        page.more && end !== undefined ? encodePageToken([String(end.timeUs), end.decisionId], filter) : "",
    };
  };
}
