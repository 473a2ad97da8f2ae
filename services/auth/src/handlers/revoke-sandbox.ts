import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

const MAX_REASON_LENGTH = 200;

/** AuthService.RevokeSandbox: revokes every credential of a sandbox's current incarnation. Repeating it changes nothing. */
export function revokeSandbox(deps: {
  readonly store: Pick<AuthStore, "revokeSandbox">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.revokeSandbox> {
  return async ({ reason }, call) => {
    const scope = sandboxScopeOf(call);
    if (reason.length > MAX_REASON_LENGTH)
      throw new ServiceError("REQUEST_INVALID", "the reason is longer than 200 characters", { field: "reason" });
    const now = deps.clock();
    const { decision, sequence } = await deps.store.revokeSandbox(scope, reason, now, actorOfCall(call));
    if (decision === "absent")
      throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: scope.sandboxId });
    await deps.feed.reached(sequence);
    return { revokeTime: timestampFromMs(now) };
  };
}
