import type { PolicyService } from "@sandgate/api/policy";
import { type SandboxScope, type SandboxSockets, type SubjectRegister, sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { policyAuthorOf } from "../messages/policy-author.ts";
import { readPolicyChange } from "../messages/policy-change.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/** PolicyService.SetPolicy: stores a policy's next revision, which the proxies are told of at once. */
export function setPolicy(deps: {
  readonly store: PolicyStore;
  readonly subjects: SubjectRegister;
  /** Opened with the first policy; a failure to open does not throw. */
  readonly sockets: SandboxSockets;
}): Handler<typeof PolicyService.method.setPolicy> {
  const requireAlive = async (scope: SandboxScope): Promise<void> => {
    const subject = await deps.subjects.findSandbox(scope.sandboxId);
    if (subject?.alive === true) return;
    await deps.store.retire([scope.sandboxId]);
    await deps.sockets.close(scope.sandboxId);
    throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: scope.sandboxId });
  };
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const change = readPolicyChange(request);
    await requireAlive(scope);
    const revision = await deps.store.setPolicy(scope, change, policyAuthorOf(call));
    await deps.sockets.open(scope.sandboxId);
    // It may have been retired while its first policy was on the way, when there was nothing to retire in the store.
    await requireAlive(scope);
    return { revision };
  };
}
