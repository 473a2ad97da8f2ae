import { createHash } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, recordRefusal } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken } from "../credentials/secret-token.ts";
import type { UserSessionIssuer } from "../credentials/user-session-issuer.ts";
import type { UserSessionStore } from "../store/user-session-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** AuthService.RefreshUserSession: the next tokens of a session. */
export function refreshUserSession(deps: {
  readonly store: Pick<UserSessionStore, "rotate">;
  readonly sessions: UserSessionIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.refreshUserSession> {
  return async ({ refreshToken, requestId }, call) => {
    if (!uuid.test(requestId))
      throw new ServiceError("REQUEST_INVALID", "the request id is not a uuid of version 4", { field: "request_id" });
    const presentedHash = hashSecretToken("sgr", refreshToken);
    const next = deps.sessions.newRefreshToken();
    const refuse = (error: ServiceError, organizationId = "") =>
      recordRefusal(deps.recordDenial, call, { sandboxId: "", organizationId }, error);
    const rejected = () => new ServiceError("CREDENTIAL_REJECTED", "the refresh token is not of this suite");
    if (presentedHash === undefined) throw await refuse(rejected());
    const { decision, session, sequence } = await deps.store.rotate(
      { presentedHash, nextHash: next.hash, requestHash: createHash("sha256").update(requestId).digest("hex") },
      deps.clock(),
      actorOfCall(call).peer,
    );
    if (session === undefined) throw await refuse(rejected());
    switch (decision) {
      case "rotate":
      case "repeat":
        return { session: await deps.sessions.sessionOf(session, next.token) };
      case "reused":
        await deps.feed.reached(sequence);
        throw await refuse(
          new ServiceError("REFRESH_TOKEN_REUSED", "the refresh token was used before: the session has ended"),
          session.organizationId,
        );
      case "expired":
        throw await refuse(new ServiceError("CREDENTIAL_EXPIRED", "the session has expired"), session.organizationId);
      default:
        throw await refuse(new ServiceError("CREDENTIAL_REVOKED", "the session has ended"), session.organizationId);
    }
  };
}
