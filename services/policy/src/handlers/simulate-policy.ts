import { durationMs } from "@bufbuild/protobuf/wkt";
import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import { lintPolicy } from "@sandgate/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { requirePolicyBase } from "../messages/policy-base.ts";
import { policyInvalid } from "../messages/policy-invalid.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProposalStore } from "../store/proposal-store.ts";
import { reviewedDecisions, simulateCandidate } from "./simulate-candidate.ts";

const mostDecisions = 100_000;

/** PolicyService.SimulatePolicy: what a policy would change about a sandbox's decisions on record. */
export function simulatePolicy(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly proposals: Pick<ProposalStore, "summarizeDecisions">;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.simulatePolicy> {
  return async ({ policy, maxDecisions, maxAge }, call) => {
    const scope = sandboxScopeOf(call);
    if (policy === undefined) throw new ServiceError("REQUEST_INVALID", "a policy is missing", { field: "policy" });
    if (maxDecisions < 0 || maxDecisions > mostDecisions)
      throw new ServiceError("REQUEST_INVALID", "at most 100000 decisions", { field: "max_decisions" });
    if (maxAge !== undefined && maxAge.seconds < 0n)
      throw new ServiceError("REQUEST_INVALID", "an age is not negative", { field: "max_age" });
    const check = lintPolicy(policy);
    if (!check.ok) throw policyInvalid(check.faults);
    const base = await requirePolicyBase(deps.store, scope);
    const sinceMs = maxAge === undefined ? undefined : Math.max(0, deps.clock() - durationMs(maxAge));
    const limit = maxDecisions === 0 ? reviewedDecisions : maxDecisions;
    const policies = { current: base.policy, candidate: check.policy };
    return {
      simulation: await simulateCandidate(deps, scope, policies, { limit, sinceMs }),
      baseRevision: base.revision,
    };
  };
}
