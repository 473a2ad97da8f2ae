import { AuthService } from "@sandgate/api/auth";
import { formatSpiffeId } from "@sandgate/pki";
import { type Call, ServiceError } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";
import { TokenVerifier } from "../tokens/index.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { isTrusted, type TrustState } from "../trust/trust-state.ts";
import { type Authenticator, bearerToken } from "./authenticator.ts";
import { rejectionOf } from "./rejection.ts";

/** Recognizes the single-use credential of a supervisor that enrols, on IssueSandboxToken alone. Auth's handler consumes it. */
export class BootstrapTokenAuthenticator implements Authenticator {
  readonly name = "bootstrap-token";
  readonly #verifier: TokenVerifier<"bootstrap">;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: { trust: TrustState; register: SubjectRegister; trustDomain: string; clock: () => number }) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#verifier = new TokenVerifier({
      kind: "bootstrap",
      trustDomain: deps.trustDomain,
      keys: deps.trust,
      clock: deps.clock,
    });
    deps.trust.onKeysChange(() => this.#verifier.bumpEpoch());
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    if (call.method !== AuthService.method.issueSandboxToken) return undefined;
    const token = bearerToken(call);
    if (token === undefined) return undefined;
    const verification = await this.#verifier.verify(token, undefined);
    if (verification.outcome === "not_ours") return undefined;
    if (verification.outcome === "rejected") throw rejectionOf(verification.fault);
    requireCurrent(this.#trust);
    const { claims, keyId } = verification;
    const subject = await this.#register.findSandbox(claims.sandboxId);
    if (
      subject === undefined ||
      !isTrusted(subject) ||
      subject.incarnation !== claims.incarnation ||
      this.#trust.isKeyRevoked(keyId)
    )
      throw new ServiceError("CREDENTIAL_REVOKED", "the sandbox is not trusted any more");
    return {
      kind: "sandbox",
      sandboxId: claims.sandboxId,
      organizationId: claims.organizationId,
      incarnation: claims.incarnation,
      credential: "bootstrap",
      tokenId: claims.tokenId,
      keyId,
      spiffeId: formatSpiffeId({ trustDomain: this.#trustDomain, kind: "sandbox", name: claims.sandboxId }),
      authenticator: this.name,
    };
  }
}
