import type { PolicyService } from "@sandgate/api/policy";
import type { Handler } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.WatchEnforcement: what the proxies enforce for every living sandbox that one has reported on, then every
 * change. The first message comes at once, also when there is nothing to tell. Where nothing changes the store is read all the same, and
 * an empty message says so: the reader knows by it that it is heard, and no change stays unseen whose notification was lost.
 */
export function watchEnforcement(deps: {
  readonly store: PolicyStore;
  readonly feed: ChangeFeed;
  readonly heartbeatMs: number;
}): Handler<typeof PolicyService.method.watchEnforcement> {
  return async function* (_request, call) {
    const changes = deps.feed.subscribe(topics.enforcements);
    try {
      let position = 0n;
      for (;;) {
        const page = await deps.store.readEnforcementChanges(position);
        position = page.position;
        yield { enforcements: [...page.items] };
        if (!page.more) await changes.next(call.signal, deps.heartbeatMs);
      }
    } finally {
      changes.close();
    }
  };
}
