import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { encodePageToken } from "@sandgate/postgres";
import type { Handler } from "@sandgate/rpc";
import { readPageSize } from "../messages/page-size.ts";
import { readPageToken } from "../messages/page-token.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.ListPolicyRevisions: a policy's revisions, newest first. */
export function listPolicyRevisions(deps: {
  readonly store: PolicyStore;
}): Handler<typeof PolicyService.method.listPolicyRevisions> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const filter = { list: "policy-revisions", sandbox: scope.sandboxId };
    const last = readPageToken(request.pageToken, [/^[1-9][0-9]{0,17}$/], filter);
    const page = await deps.store.listRevisions(
      scope,
      readPageSize(request.pageSize),
      last === undefined ? undefined : BigInt(last[0]),
    );
    const end = page.items.at(-1);
    return {
      revisions: [...page.items],
      nextPageToken: page.more && end !== undefined ? encodePageToken([String(end.revision)], filter) : "",
    };
  };
}
