import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { ApiKeyStore } from "../store/api-key-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** AuthService.RevokeApiKey: a key, and what it was exchanged for, are refused everywhere when this is answered. */
export function revokeApiKey(deps: {
  readonly store: Pick<ApiKeyStore, "revoke">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.revokeApiKey> {
  return async ({ apiKeyId }, call) => {
    const { organizationId, userId, role } = requireUserPrincipal(call);
    const absent = () => new ServiceError("API_KEY_NOT_FOUND", "no such key");
    if (!uuid.test(apiKeyId)) throw absent();
    const of = { organizationId, userId: role < Role.ADMIN ? userId : undefined };
    const { decision, sequence } = await deps.store.revoke(apiKeyId, of, deps.clock(), actorOfCall(call));
    if (decision === "absent") throw absent();
    await deps.feed.reached(sequence);
    return {};
  };
}
