import type { PolicyService } from "@sandgate/api/policy";
import type { Handler } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.WatchEnforcement: what the proxies enforce for every living sandbox that one has reported on, then every
 * change. The first message comes at once, also when there is nothing to tell.
 */
export function watchEnforcement(deps: {
  readonly store: PolicyStore;
  readonly feed: ChangeFeed;
}): Handler<typeof PolicyService.method.watchEnforcement> {
  return async function* (_request, call) {
    const changes = deps.feed.subscribe(topics.enforcements);
    try {
      let position = 0n;
      for (let first = true; ; first = false) {
        const page = await deps.store.readEnforcementChanges(position);
        position = page.position;
        if (first || page.items.length > 0) yield { enforcements: [...page.items] };
        if (!page.more) await changes.next(call.signal);
      }
    } finally {
      changes.close();
    }
  };
}
