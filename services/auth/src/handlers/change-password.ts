import type { AuthService } from "@sandgate/api/auth";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { UserSessionIssuer } from "../credentials/user-session-issuer.ts";
import { hashingCallerOf } from "../passwords/hashing-caller.ts";
import type { LoginGate } from "../passwords/login-gate.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { UserStore } from "../store/user-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireAcceptablePassword } from "./require-acceptable-password.ts";

/** AuthService.ChangePassword: who knows the old password sets a new one. Every session ends; the answer is a new one. */
export function changePassword(deps: {
  readonly gate: LoginGate;
  readonly hasher: PasswordHasher;
  readonly users: Pick<UserStore, "changePassword">;
  readonly sessions: UserSessionIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.changePassword> {
  return async (request, call) => {
    const { account, passwordHash } = await deps.gate.prove(call, request);
    const password = requireAcceptablePassword(request.newPassword, account.login ?? "");
    const to = await deps.hasher.hash(password, hashingCallerOf(call));
    const { peer } = actorOfCall(call);
    const actor = { principal: deps.sessions.spiffeIdOf(account.userId), peer };
    const change = await deps.users.changePassword(account.userId, { from: passwordHash, to }, deps.clock(), actor);
    if (change.decision === "stale") throw new ServiceError("LOGIN_FAILED", "login name or password is wrong");
    await deps.feed.reached(change.sequence);
    return { session: await deps.sessions.start(account.userId, peer) };
  };
}
