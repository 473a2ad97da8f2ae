import { equals } from "@bufbuild/protobuf";
import { EnforcementSchema, type PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import type { PolicyState, PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.WatchPolicy: a sandbox's policy and its enforcement now, then each time either changes. A slow reader gets
 * the newest state. Ends with SANDBOX_NOT_FOUND when the sandbox is retired.
 */
export function watchPolicy(deps: {
  readonly store: PolicyStore;
  readonly feed: ChangeFeed;
}): Handler<typeof PolicyService.method.watchPolicy> {
  return async function* (_request, call) {
    const scope = sandboxScopeOf(call);
    const changes = deps.feed.subscribe(topics.sandbox(scope.sandboxId));
    try {
      for (let told: PolicyState | undefined; ; await changes.next(call.signal)) {
        if (await deps.store.isRetired(scope))
          throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: scope.sandboxId });
        const state = await deps.store.findPolicy(scope);
        if (state === undefined)
          throw new ServiceError("POLICY_NOT_FOUND", "the sandbox has no policy", { sandbox_id: scope.sandboxId });
        if (isSame(told, state)) continue;
        yield { revision: state.revision, enforcement: state.enforcement };
        told = state;
      }
    } finally {
      changes.close();
    }
  };
}

function isSame(told: PolicyState | undefined, state: PolicyState): boolean {
  return (
    told?.revision.revision === state.revision.revision &&
    equals(EnforcementSchema, told.enforcement, state.enforcement)
  );
}
