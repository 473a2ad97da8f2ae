import { randomUUID } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, recordRefusal } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken } from "../credentials/secret-token.ts";
import type { UserSessionIssuer } from "../credentials/user-session-issuer.ts";
import { hashingCallerOf } from "../passwords/hashing-caller.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { UserStore } from "../store/user-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireAcceptablePassword } from "./require-acceptable-password.ts";
import { requireName } from "./require-name.ts";

/** AuthService.AcceptInvitation: the account of an invitation with the password of who holds it, logged in. */
export function acceptInvitation(deps: {
  readonly store: Pick<UserStore, "findInvitation" | "accept">;
  readonly hasher: PasswordHasher;
  readonly sessions: UserSessionIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.acceptInvitation> {
  return async (request, call) => {
    const refuse = () =>
      recordRefusal(
        deps.recordDenial,
        call,
        { sandboxId: "", organizationId: "" },
        new ServiceError("INVITATION_NOT_FOUND", "no such invitation"),
      );
    const name = requireName(request.name, { field: "name", mayBeEmpty: true });
    const tokenHash = hashSecretToken("sgi", request.token);
    // nothing is hashed for who holds no invitation
    const invitation = tokenHash && (await deps.store.findInvitation(tokenHash, deps.clock()));
    if (tokenHash === undefined || invitation === undefined) throw await refuse();
    const password = requireAcceptablePassword(request.password, invitation.login);
    const passwordHash = await deps.hasher.hash(password, hashingCallerOf(call));
    const { peer } = actorOfCall(call);
    const { decision, account, sequence } = await deps.store.accept(
      { tokenHash, newUserId: randomUUID(), name, passwordHash },
      deps.clock(),
      (userId) => ({ principal: deps.sessions.spiffeIdOf(userId), peer }),
    );
    if (decision === "login_taken") throw new ServiceError("LOGIN_TAKEN", "the login name is taken");
    if (account === undefined) throw await refuse();
    await deps.feed.reached(sequence);
    return { session: await deps.sessions.start(account.userId, peer) };
  };
}
