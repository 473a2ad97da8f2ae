import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { TrustFeed } from "../trust/trust-feed.ts";

/** AuthService.WatchTrust: what to trust, from now on. */
export function watchTrust(deps: {
  readonly feed: Pick<TrustFeed, "watch">;
}): Handler<typeof AuthService.method.watchTrust> {
  return ({ afterSequence }, call) => deps.feed.watch(afterSequence, call.signal);
}
