import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { isPublished } from "../domain/signing-key.ts";
import type { SigningKeyRing } from "../keys/signing-keys.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { keyActorOfCall } from "./key-actor-of-call.ts";
import { toSigningKeyMessages } from "./signing-key-message.ts";

/** AuthService.RotateSigningKeys: the keys that wait sign, and new ones wait. */
export function rotateSigningKeys(deps: {
  readonly keys: Pick<SigningKeyRing, "store" | "load" | "records" | "algorithms">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.rotateSigningKeys> {
  const { keys, feed, clock } = deps;
  return async ({ algorithm }, call) => {
    const algorithms = keys.algorithms.filter((candidate) => algorithm === "" || candidate === algorithm);
    if (algorithms.length === 0)
      throw new ServiceError("REQUEST_INVALID", "nothing is signed with this algorithm", { field: "algorithm" });
    const { decision, sequence } = await keys.store.rotate(
      { algorithms, minimumAgeMs: 0 },
      clock(),
      keyActorOfCall(call),
    );
    await feed.reached(sequence);
    await keys.load();
    const published = toSigningKeyMessages(keys.records.filter(isPublished), clock());
    return { keys: published, rotated: decision === "rotated" };
  };
}
