import { type Call, ServiceError } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import type { Authenticator } from "./authenticator.ts";
import { BearerTokens, type TokenAuthenticatorDeps } from "./bearer-tokens.ts";
import { userPrincipal } from "./user-principal.ts";

/**
 * Recognizes the session tokens that Auth mints for users. The register's role counts, not the token's; but a token that an API key
 * was exchanged for never has more than the key's (authenticator "api-key").
 */
export class UserSessionAuthenticator implements Authenticator {
  readonly name = "user-session";
  readonly #tokens: BearerTokens<"user">;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: TokenAuthenticatorDeps) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#tokens = new BearerTokens("user", deps);
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    const read = this.#tokens.read(call);
    const verified = read instanceof Promise ? await read : read;
    if (verified === undefined) return undefined;
    const { claims, keyId } = verified;
    const subject = await this.#register.findUser(claims.userId);
    if (
      this.#trust.isKeyRevoked(keyId) ||
      this.#trust.isTokenRevoked(claims.tokenId) ||
      (claims.session !== undefined && this.#trust.isSessionEnded(claims.session.id)) ||
      this.#trust.isUserSessionRevoked(claims.userId, claims.issuedAtMs)
    )
      throw new ServiceError("CREDENTIAL_REVOKED", "the session is revoked");
    const isByKey = claims.session?.kind === "api-key";
    const principal = userPrincipal(subject, {
      trustDomain: this.#trustDomain,
      authenticator: isByKey ? "api-key" : this.name,
    });
    // a user of another organization by the same id there never was: the token is of before the register was put back
    if (principal.organizationId !== claims.organizationId)
      throw new ServiceError("CREDENTIAL_REVOKED", "the user is not of that organization");
    return {
      ...principal,
      keyId,
      role: isByKey ? Math.min(principal.role, claims.role) : principal.role,
      ...(claims.session !== undefined && { sessionId: claims.session.id }),
    };
  }
}
