import { passwordLogin } from "./password-login.ts";
import type { LoginKind, LoginServer, StoredLogin } from "./stored-login.ts";

/** What each kind of login can do. */
const loginKinds: { readonly [K in StoredLogin["kind"]]: LoginKind<Extract<StoredLogin, { kind: K }>> } = {
  password: passwordLogin,
};

/** The login with a new access token; see LoginKind. */
export function refreshLogin(
  login: StoredLogin,
  server: LoginServer,
  keep: (login: StoredLogin) => void,
): Promise<StoredLogin> {
  return loginKinds[login.kind].refresh(login, server, keep);
}

/** Ends the login at the server; see LoginKind. */
export function endLogin(
  login: StoredLogin,
  server: LoginServer,
  options: { readonly everywhere: boolean },
): Promise<void> {
  return loginKinds[login.kind].end(login, server, options);
}
