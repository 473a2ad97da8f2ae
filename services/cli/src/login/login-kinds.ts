import { apiKeyLogin } from "./api-key-login.ts";
import { oidcLogin } from "./oidc-login.ts";
import { passwordLogin } from "./password-login.ts";
import type { LoginServer, StoredLogin } from "./stored-login.ts";

/** The login with a new access token; see LoginKind. */
export function refreshLogin(
  login: StoredLogin,
  server: LoginServer,
  keep: (login: StoredLogin) => void,
): Promise<StoredLogin> {
  switch (login.kind) {
    case "password":
      return passwordLogin.refresh(login, server, keep);
    case "api-key":
      return apiKeyLogin.refresh(login, server, keep);
    case "oidc":
      return oidcLogin.refresh(login, server, keep);
  }
}

/** Ends the login at the server; see LoginKind. */
export function endLogin(
  login: StoredLogin,
  server: LoginServer,
  options: { readonly everywhere: boolean },
): Promise<void> {
  switch (login.kind) {
    case "password":
      return passwordLogin.end(login, server, options);
    case "api-key":
      return apiKeyLogin.end(login, server, options);
    case "oidc":
      return oidcLogin.end(login, server, options);
  }
}
