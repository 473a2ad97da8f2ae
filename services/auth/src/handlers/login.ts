import type { AuthService } from "@sandgate/api/auth";
import type { Call, Handler } from "@sandgate/rpc";
import type { UserSessionIssuer } from "../credentials/user-session-issuer.ts";
import { hashingCallerOf } from "../passwords/hashing-caller.ts";
import type { LoginGate, ProvedAccount } from "../passwords/login-gate.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import type { UserStore } from "../store/user-store.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.Login: a session for who knows an account's password. A hash of an older kind is made anew on the way. */
export function login(deps: {
  readonly gate: LoginGate;
  readonly hasher: PasswordHasher;
  readonly users: Pick<UserStore, "replaceHash">;
  readonly sessions: UserSessionIssuer;
}): Handler<typeof AuthService.method.login> {
  return async (request, call) => {
    const proved = await deps.gate.prove(call, request);
    await rehash(proved, call);
    return { session: await deps.sessions.start(proved.account.userId, actorOfCall(call).peer) };
  };

  async function rehash({ account, passwordHash, password }: ProvedAccount, call: Call): Promise<void> {
    if (!deps.hasher.needsRehash(passwordHash)) return;
    const to = await deps.hasher.hash(password, hashingCallerOf(call));
    await deps.users.replaceHash(account.userId, { from: passwordHash, to });
  }
}
