import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { type QuotaOf, quotaNames } from "../domain/quota.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireUser } from "./require-user.ts";

/** SandboxService.GetQuota: what the caller's organization may have, and has. */
export function getQuota(deps: {
  readonly store: Pick<SandboxStore, "measureUsage">;
  readonly quotaOf: QuotaOf;
}): Handler<typeof SandboxService.method.getQuota> {
  return async (_request, call) => {
    const { organizationId } = requireUser(call);
    const used = await deps.store.measureUsage(organizationId);
    const quota = deps.quotaOf(organizationId);
    return {
      quotas: quotaNames.map((name) => {
        const limit = quota[name];
        return { name, used: BigInt(used[name]), ...(limit !== undefined && { limit: BigInt(limit) }) };
      }),
    };
  };
}
