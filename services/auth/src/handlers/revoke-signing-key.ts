import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { isPublished } from "../domain/signing-key.ts";
import type { SigningKeyRing } from "../keys/signing-keys.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { keyActorOfCall } from "./key-actor-of-call.ts";
import { toSigningKeyMessages } from "./signing-key-message.ts";

const MAX_REASON_LENGTH = 200;

/** AuthService.RevokeSigningKey: nothing that the key signed counts any more. Repeating it changes nothing. */
export function revokeSigningKey(deps: {
  readonly keys: Pick<SigningKeyRing, "store" | "load" | "records">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.revokeSigningKey> {
  const { keys, feed, clock } = deps;
  return async ({ kid, reason }, call) => {
    if (reason.length > MAX_REASON_LENGTH)
      throw new ServiceError("REQUEST_INVALID", "the reason is longer than 200 characters", { field: "reason" });
    const { decision, sequence } = await keys.store.revoke(kid, reason, clock(), keyActorOfCall(call));
    if (decision === "absent") throw new ServiceError("SIGNING_KEY_NOT_FOUND", "no such signing key");
    await feed.reached(sequence);
    await keys.load();
    return { keys: toSigningKeyMessages(keys.records.filter(isPublished), clock()) };
  };
}
