import type { AuthService } from "@sandgate/api/auth";
import type { SandboxSockets } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.RetireSandbox: ends a sandbox for good, with everything it holds. */
export function retireSandbox(deps: {
  readonly store: Pick<AuthStore, "retireSandbox">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly sockets: SandboxSockets;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.retireSandbox> {
  return async ({ sandboxId }, call) => {
    const { decision, sequence } = await deps.store.retireSandbox(sandboxId, deps.clock(), actorOfCall(call));
    if (decision === "absent")
      throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
    await deps.feed.reached(sequence);
    await deps.sockets.close(sandboxId);
    return {};
  };
}
