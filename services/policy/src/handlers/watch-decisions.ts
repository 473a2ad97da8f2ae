import type { PolicyService } from "@sandgate/api/policy";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { topics } from "../feed/topics.ts";
import { writeDecision } from "../messages/decision-message.ts";
import type { PolicyStore } from "../store/policy-store.ts";

/**
 * PolicyService.WatchDecisions: a sandbox's decisions from now on, each once when it is stored and again when its exchange or
 * tunnel has ended. The first message is empty and says that the watch has begun. A slow reader catches up from the store.
 */
export function watchDecisions(deps: {
  readonly store: PolicyStore;
  readonly feed: ChangeFeed;
}): Handler<typeof PolicyService.method.watchDecisions> {
  return async function* (_request, call) {
    const scope = sandboxScopeOf(call);
    const changes = deps.feed.subscribe(topics.decisions(scope.sandboxId));
    try {
      let position = await deps.store.findDecisionPosition();
      yield { decisions: [] };
      for (;;) {
        const page = await deps.store.readDecisionChanges(scope, position);
        position = page.position;
        if (page.items.length > 0) yield { decisions: page.items.map(writeDecision) };
        if (!page.more) await changes.next(call.signal);
      }
    } finally {
      changes.close();
    }
  };
}
