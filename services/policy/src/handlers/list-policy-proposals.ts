import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { encodePageToken } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { proposalIdPattern } from "../domain/ids.ts";
import { readPageToken } from "../messages/page-token.ts";
import { stateOf, writeProposal } from "../messages/proposal-message.ts";
import type { ProposalStore } from "../store/proposal-store.ts";

/** PolicyService.ListPolicyProposals: what was proposed for a sandbox, newest first. */
export function listPolicyProposals(deps: {
  readonly proposals: Pick<ProposalStore, "listProposals">;
}): Handler<typeof PolicyService.method.listPolicyProposals> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    if (request.pageSize < 0)
      throw new ServiceError("REQUEST_INVALID", "a page size is not negative", { field: "page_size" });
    const states = [...new Set(request.states)].sort().map((number) => {
      const state = stateOf(number);
      if (state === undefined) throw new ServiceError("REQUEST_INVALID", "a state is not known", { field: "states" });
      return state;
    });
    const filter = { list: "policy-proposals", sandbox: scope.sandboxId, states: states.join(",") };
    const last = readPageToken(request.pageToken, [/^[0-9]{1,15}$/, proposalIdPattern], filter);
    const page = await deps.proposals.listProposals(scope, {
      states,
      pageSize: request.pageSize === 0 ? 50 : Math.min(request.pageSize, 100),
      before: last === undefined ? undefined : { createTimeMs: Number(last[0]), proposalId: last[1] },
    });
    const end = page.items.at(-1);
    return {
      proposals: page.items.map(writeProposal),
      nextPageToken:
        page.more && end !== undefined ? encodePageToken([String(end.createTimeMs), end.proposalId], filter) : "",
    };
  };
}
