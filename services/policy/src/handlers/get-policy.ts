import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.GetPolicy: a revision of a policy, and how far the newest is enforced. */
export function getPolicy(deps: { readonly store: PolicyStore }): Handler<typeof PolicyService.method.getPolicy> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    if (request.revision < 0n)
      throw new ServiceError("REQUEST_INVALID", "a revision is not negative", { field: "revision" });
    const state = await deps.store.findPolicy(scope, request.revision === 0n ? undefined : request.revision);
    if (state === undefined)
      throw new ServiceError("POLICY_NOT_FOUND", "the sandbox has no such policy", { sandbox_id: scope.sandboxId });
    return { revision: state.revision, enforcement: state.enforcement };
  };
}
