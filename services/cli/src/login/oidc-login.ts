import { ServiceError } from "@sandgate/rpc";
import type { LoginKind, OidcLogin } from "./stored-login.ts";

/** Logins at an OpenID provider: renewed there, so that it ends with the user's account there. */
export const oidcLogin: LoginKind<OidcLogin> = {
  async refresh(login) {
    const { refreshTokens } = await import("./oidc-client.ts");
    const { refreshToken } = login;
    const tokens = refreshToken === undefined ? undefined : await refreshTokens(login.provider, refreshToken);
    if (tokens === undefined)
      throw new ServiceError("CREDENTIAL_EXPIRED", "the login at the OpenID provider has ended");
    return { ...login, ...tokens };
  },
  async end({ provider, refreshToken }) {
    if (refreshToken === undefined) return;
    const { revokeRefreshToken } = await import("./oidc-client.ts");
    await revokeRefreshToken(provider, refreshToken);
  },
};
