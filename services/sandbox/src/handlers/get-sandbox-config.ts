import type { PolicyService } from "@sandgate/api/policy";
import type { SandboxService } from "@sandgate/api/sandbox";
import { forwardPrincipal, forwardUser, principalKey, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type CallOptions, type Client, type Handler, ServiceError } from "@sandgate/rpc";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireSandbox } from "./require-sandbox.ts";
import { toSpecMessage } from "./sandbox-message.ts";

/** SandboxService.GetSandboxConfig: what a supervisor runs its sandbox by. */
export function getSandboxConfig(deps: {
  readonly store: Pick<SandboxStore, "find">;
  readonly policy: Pick<Client<typeof PolicyService>, "getPolicy">;
}): Handler<typeof SandboxService.method.getSandboxConfig> {
  const findRevision = async (record: SandboxRecord, options: CallOptions): Promise<bigint> => {
    try {
      const { revision } = await deps.policy.getPolicy({ sandbox: record.id }, options);
      return revision?.revision ?? 0n;
    } catch (error) {
      if (error instanceof ServiceError && error.reason === "POLICY_NOT_FOUND") return 0n; // it is on its way
      throw error;
    }
  };
  return async (_request, call) => {
    const record = await requireSandbox(deps.store, sandboxScopeOf(call));
    return {
      spec: toSpecMessage(record.spec),
      incarnation: record.incarnation,
      policyRevision: await findRevision(record, { ...callerOptions(call, record), signal: call.signal }),
    };
  };
}

/** Policy is read for users alone: a sandbox's own configuration is read for its owner. */
function callerOptions(call: Call, record: SandboxRecord): CallOptions {
  const principal = call.get(principalKey);
  return principal.kind === "user" ? forwardPrincipal(principal) : forwardUser(record.ownerUserId);
}
