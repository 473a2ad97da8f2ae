import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.EndIncarnation: what an incarnation that is over holds is worth nothing any more. */
export function endIncarnation(deps: {
  readonly store: Pick<AuthStore, "endIncarnation">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.endIncarnation> {
  return async ({ sandboxId, incarnation }, call) => {
    const { decision, sequence } = await deps.store.endIncarnation(
      sandboxId,
      incarnation,
      deps.clock(),
      actorOfCall(call),
    );
    switch (decision) {
      case "absent":
        throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
      case "other_incarnation":
        throw new ServiceError("SANDBOX_CHANGED", "another incarnation is registered", { sandbox_id: sandboxId });
      case "unchanged":
      case "ended":
        await deps.feed.reached(sequence);
        return {};
    }
  };
}
