import { randomUUID } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { UserSessionIssuer } from "../credentials/user-session-issuer.ts";
import { hashingCallerOf } from "../passwords/hashing-caller.ts";
import type { LoginGate } from "../passwords/login-gate.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { UserDirectory } from "../store/user-directory.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireAcceptablePassword } from "./require-acceptable-password.ts";
import { requireLoginName } from "./require-login-name.ts";
import { requireName } from "./require-name.ts";

/** AuthService.SignUp: an organization of one's own, where the suite is open to anybody. */
export function signUp(deps: {
  readonly isOpen: boolean;
  readonly gate: Pick<LoginGate, "countSignUp">;
  readonly directory: Pick<UserDirectory, "signUp">;
  readonly hasher: PasswordHasher;
  readonly sessions: UserSessionIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.signUp> {
  return async (request, call) => {
    if (!deps.isOpen) throw new ServiceError("SIGN_UP_CLOSED", "accounts are made by invitation here");
    const login = requireLoginName(request.login, "login");
    const name = requireName(request.name, { field: "name", mayBeEmpty: true });
    const organizationName = requireName(request.organizationName, { field: "organization_name", mayBeEmpty: false });
    const password = requireAcceptablePassword(request.password, login);
    await deps.gate.countSignUp(call);
    const passwordHash = await deps.hasher.hash(password, hashingCallerOf(call));
    const userId = randomUUID();
    const { peer } = actorOfCall(call);
    const { decision, sequence } = await deps.directory.signUp(
      {
        userId,
        login,
        name: name === "" ? login : name,
        role: Role.ADMIN,
        passwordHash,
        organizationId: randomUUID(),
        organizationName,
      },
      deps.clock(),
      { principal: deps.sessions.spiffeIdOf(userId), peer },
    );
    if (decision === "login_taken") throw new ServiceError("LOGIN_TAKEN", "the login name is taken");
    await deps.feed.reached(sequence);
    return { session: await deps.sessions.start(userId, peer) };
  };
}
