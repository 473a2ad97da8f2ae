import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, recordRefusal } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken } from "../credentials/secret-token.ts";
import type { UserSessionStore } from "../store/user-session-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.Logout: ends a session, or every session of its user. Everybody knows of it when it is answered. */
export function logout(deps: {
  readonly store: Pick<UserSessionStore, "end">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.logout> {
  return async ({ refreshToken, everywhere }, call) => {
    const hash = hashSecretToken("sgr", refreshToken);
    const { peer } = actorOfCall(call);
    const change = hash && (await deps.store.end(hash, { everywhere }, deps.clock(), peer));
    if (change === undefined || change.decision === "absent") {
      const error = new ServiceError("CREDENTIAL_REJECTED", "the refresh token is not of this suite");
      throw await recordRefusal(deps.recordDenial, call, { sandboxId: "", organizationId: "" }, error);
    }
    await deps.feed.reached(change.sequence);
    return {};
  };
}
