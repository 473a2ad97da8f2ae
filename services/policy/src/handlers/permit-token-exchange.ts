import type { AuthService } from "@sandgate/api/auth";
import type { PolicyService } from "@sandgate/api/policy";
import { type DenialRecorder, recordRefusal, sandboxScopeOf } from "@sandgate/identity";
import { type Client, type Handler, ServiceError } from "@sandgate/rpc";
import type { PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.PermitTokenExchange: has Auth make a permit for an audience that the sandbox's newest policy grants. The policy is read
 * at every call, so that a change counts from the moment it is stored.
 */
export function permitTokenExchange(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly auth: Pick<Client<typeof AuthService>, "createExchangePermit">;
  readonly recordDenial: DenialRecorder;
}): Handler<typeof PolicyService.method.permitTokenExchange> {
  return async ({ audience }, call) => {
    const scope = sandboxScopeOf(call);
    const { revision } = (await deps.store.findPolicy(scope)) ?? {};
    if (revision?.policy?.identity?.audiences.includes(audience) !== true) {
      const refusal = new ServiceError("AUDIENCE_NOT_GRANTED", "the sandbox's policy does not grant this audience");
      throw await recordRefusal(deps.recordDenial, call, scope, refusal);
    }
    const { permit, expireTime } = await deps.auth.createExchangePermit(
      { sandboxId: scope.sandboxId, audience, policyRevision: revision.revision },
      { signal: call.signal },
    );
    return { permit, ...(expireTime === undefined ? {} : { expireTime }) };
  };
}
