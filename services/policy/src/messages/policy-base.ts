import type { SandboxScope } from "@sandgate/identity";
import type { ReadonlyPolicy } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";
import type { PolicyStore } from "../store/policy-store.ts";

/** What a change of a policy starts from. */
export interface PolicyBase {
  readonly policy: ReadonlyPolicy;
  readonly revision: bigint;
}

/** A sandbox's newest policy. Throws POLICY_NOT_FOUND where it has none. */
export async function requirePolicyBase(
  store: Pick<PolicyStore, "findPolicy">,
  scope: SandboxScope,
): Promise<PolicyBase> {
  const state = await store.findPolicy(scope);
  if (state === undefined)
    throw new ServiceError("POLICY_NOT_FOUND", "the sandbox has no policy", { sandbox_id: scope.sandboxId });
  return { policy: state.revision.policy ?? { rules: [] }, revision: state.revision.revision };
}
