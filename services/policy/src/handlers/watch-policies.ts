import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import { policyMessages } from "../messages/policy-stream.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import type { ProviderStore } from "../store/provider-store.ts";

/**
 * PolicyService.WatchPolicies: the policies of all living sandboxes, then every change, to a proxy. A snapshot too large for
 * one message goes on in the next ones; each message's version is one to resume after. A slow proxy gets each sandbox's
 * newest state. Beside a policy come the providers that it grants, without their secrets. Where nothing changes the store is read all the same, and a message without a change says so: a proxy knows by it
 * that it is heard, and no change stays unseen whose notification was lost. Refuses with UNAVAILABLE while it is not known which sandboxes died while this service was down.
 */
export function watchPolicies(deps: {
  readonly store: Pick<PolicyStore, "findPolicyVersion" | "readPolicyChanges">;
  readonly providers: Pick<ProviderStore, "listGranted">;
  readonly feed: ChangeFeed;
  readonly isReconciled: () => boolean;
  readonly heartbeatMs: number;
}): Handler<typeof PolicyService.method.watchPolicies> {
  return async function* (request, call) {
    if (request.afterVersion < 0n)
      throw new ServiceError("REQUEST_INVALID", "a version is not negative", { field: "after_version" });
    if (!deps.isReconciled())
      throw new ServiceError("UNAVAILABLE", "policies are not yet reconciled with the register of sandboxes");
    const changes = deps.feed.subscribe(topics.policies);
    try {
      // A version that was never given out is of another database: what the proxy has is not to be built upon.
      const known = request.afterVersion <= (await deps.store.findPolicyVersion());
      let version = known ? request.afterVersion : 0n;
      let snapshot = version === 0n;
      for (;;) {
        const page = await deps.store.readPolicyChanges(version);
        const granted = await deps.providers.listGranted(page.upserted.map(({ sandboxId }) => sandboxId));
        yield* policyMessages(page, granted, { after: version, snapshot });
        version = page.version;
        snapshot = false;
        if (!page.more) await changes.next(call.signal, deps.heartbeatMs);
      }
    } finally {
      changes.close();
    }
  };
}
