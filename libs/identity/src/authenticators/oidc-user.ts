import type { UserSubject } from "@sandgate/api/auth";
import { type Call, ServiceError } from "@sandgate/rpc";
import type { OidcProviders } from "../oidc/oidc-providers.ts";
import type { Principal } from "../principal.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import { type Authenticator, bearerToken } from "./authenticator.ts";
import { userPrincipal } from "./user-principal.ts";

/**
 * Recognizes users by the tokens of the OpenID providers that are configured (G-04). Their role and organization are in the register
 * too, entered there from the first token and from each newer one that says otherwise, so that they can be named, forwarded and
 * switched off like every user.
 */
export class OidcUserAuthenticator implements Authenticator {
  readonly name = "oidc-user";
  readonly #providers: OidcProviders;
  readonly #registerUser: (token: string) => Promise<UserSubject>;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: {
    readonly providers: OidcProviders;
    /** Has Auth verify the token itself and enter its user into the register. */
    readonly registerUser: (token: string) => Promise<UserSubject>;
    readonly trust: TrustState;
    readonly register: SubjectRegister;
    readonly trustDomain: string;
  }) {
    this.#providers = deps.providers;
    this.#registerUser = deps.registerUser;
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    const token = bearerToken(call);
    if (token === undefined) return undefined;
    const claims = await this.#providers.verify(token);
    if (claims === undefined) return undefined;
    requireCurrent(this.#trust);
    const { userId, organizationId, role } = claims;
    if (this.#trust.isUserSessionRevoked(userId, claims.issuedAtMs))
      throw new ServiceError("CREDENTIAL_REVOKED", "the token was issued before the user was revoked or changed");
    const kept = await this.#register.findUser(userId);
    const isAsKept = kept?.organizationId === organizationId && kept.role === role;
    const subject = isAsKept ? kept : await this.#registerUser(token);
    return userPrincipal(subject, { trustDomain: this.#trustDomain, authenticator: this.name });
  }
}
