/** What every kind of login has. */
interface LoginBase {
  /** Who logged in, for people: the login name. */
  readonly name: string;
  /** For `authorization: Bearer`. */
  readonly accessToken: string;
  /** Milliseconds since the epoch. */
  readonly accessExpiresAtMs: number;
}

/** A session of AuthService.Login. */
export interface PasswordLogin extends LoginBase {
  readonly kind: "password";
  readonly refreshToken: string;
  /** When the password is asked again; milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Of the refresh that was begun and whose answer is not here yet. */
  readonly pendingRequestId?: string;
}

/** An API key, which access tokens are exchanged for. */
export interface ApiKeyLogin extends LoginBase {
  readonly kind: "api-key";
  readonly secret: string;
}

/** A login at an OpenID provider. */
export interface OidcLogin extends LoginBase {
  readonly kind: "oidc";
  /** Undefined where the provider gave none: then the login ends with its token. */
  readonly refreshToken?: string;
  /** As the suite named it when the user logged in: a refresh token goes nowhere else. */
  readonly provider: {
    readonly issuer: string;
    readonly clientId: string;
    readonly resource: string;
    readonly usesIdToken: boolean;
  };
}

/** A login to a suite, as it is kept. A further kind is a further member here, and a further case in login-kinds.ts. */
export type StoredLogin = PasswordLogin | ApiKeyLogin | OidcLogin;

/** What a kind of login can do. */
export interface LoginKind<L extends StoredLogin> {
  /**
   * The login with a new access token. `keep` stores a state that must not be lost before the server is asked. Throws a ServiceError
   * with CREDENTIAL_EXPIRED, CREDENTIAL_REVOKED, CREDENTIAL_REJECTED or REFRESH_TOKEN_REUSED when the user has to log in again.
   */
  refresh(login: L, server: LoginServer, keep: (login: L) => void): Promise<L>;
  /** Ends the login at the server. Ending one that has ended is no failure. */
  end(login: L, server: LoginServer, options: { readonly everywhere: boolean }): Promise<void>;
}

/** The suite's Auth, as somebody without a credential reaches it. */
export interface LoginServer {
  readonly auth: import("@sandgate/rpc").Client<typeof import("@sandgate/api/auth").AuthService>;
  readonly signal: AbortSignal;
}
