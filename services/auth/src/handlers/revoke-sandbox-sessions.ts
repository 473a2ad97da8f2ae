import type { AuthService, RevokeSandboxSessionsRequest } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { AuthStore } from "../store/auth-store.ts";
import type { RevocationTarget, SandboxSessionStore } from "../store/sandbox-session-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { requireSandboxOf, requireTokenId, requireUserId } from "./session-fields.ts";

const MAX_REASON_LENGTH = 200;

/** AuthService.RevokeSandboxSessions: revokes container tokens: one, a sandbox's, a user's or the organization's. */
export function revokeSandboxSessions(deps: {
  readonly store: Pick<AuthStore, "findSandbox" | "findSandboxByName">;
  readonly sessions: Pick<SandboxSessionStore, "revoke">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.revokeSandboxSessions> {
  const readTarget = async (
    target: RevokeSandboxSessionsRequest["target"],
    organizationId: string,
  ): Promise<RevocationTarget> => {
    switch (target.case) {
      case "tokenId":
        return { kind: "token", tokenId: requireTokenId(target.value) };
      case "sandbox":
        return { kind: "sandbox", sandboxId: await requireSandboxOf(organizationId, target.value, deps.store) };
      case "userId":
        return { kind: "user", userId: requireUserId(target.value) };
      case "all":
        if (!target.value) throw new ServiceError("REQUEST_INVALID", "all must be true", { field: "all" });
        return { kind: "all" };
      case undefined:
        throw new ServiceError("REQUEST_INVALID", "the request does not say what to revoke", { field: "target" });
    }
  };
  return async ({ target, reason }, call) => {
    const { organizationId } = requireUserPrincipal(call);
    if (reason.length > MAX_REASON_LENGTH)
      throw new ServiceError("REQUEST_INVALID", "the reason is longer than 200 characters", { field: "reason" });
    const { decision, sequence } = await deps.sessions.revoke(
      organizationId,
      await readTarget(target, organizationId),
      reason,
      deps.clock(),
      actorOfCall(call),
    );
    if (decision === undefined) throw new ServiceError("SANDBOX_SESSION_NOT_FOUND", "no such session");
    await deps.feed.reached(sequence);
    return { revokedCount: decision };
  };
}
