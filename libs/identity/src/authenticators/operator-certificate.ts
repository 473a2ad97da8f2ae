import type { Call } from "@sandgate/rpc";
import { operatorCertificateKey } from "../peer.ts";
import type { Principal } from "../principal.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import type { Authenticator } from "./authenticator.ts";
import { userPrincipal } from "./user-principal.ts";

/** Recognizes users by the certificate of their connection, signed by the operator CA. */
export class OperatorCertificateAuthenticator implements Authenticator {
  readonly name = "operator-certificate";
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: { trust: TrustState; register: SubjectRegister; trustDomain: string }) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    const certificate = call.find(operatorCertificateKey);
    if (certificate === undefined) return undefined;
    requireCurrent(this.#trust);
    return userPrincipal(await this.#register.findUser(certificate.userId), {
      trustDomain: this.#trustDomain,
      authenticator: this.name,
    });
  }
}
