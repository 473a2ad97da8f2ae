import type { PolicyService } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.WatchPolicies: the policies of all living sandboxes, then every change, to a proxy. A snapshot too large for
 * one message goes on in the next ones; each message's version is one to resume after. A slow proxy gets each sandbox's
 * newest state. Refuses with UNAVAILABLE while it is not known which sandboxes died while this service was down.
 */
export function watchPolicies(deps: {
  readonly store: PolicyStore;
  readonly feed: ChangeFeed;
  readonly isReconciled: () => boolean;
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
      let first = true; // answered even where nothing has changed: the proxy then knows that it is heard
      for (;;) {
        const page = await deps.store.readPolicyChanges(version);
        version = page.version;
        if (first || snapshot || page.upserted.length > 0 || page.removedSandboxIds.length > 0)
          yield {
            version,
            snapshot,
            upserted: [...page.upserted],
            removedSandboxIds: [...page.removedSandboxIds],
          };
        snapshot = false;
        first = false;
        if (!page.more) await changes.next(call.signal);
      }
    } finally {
      changes.close();
    }
  };
}
