import { AuthService } from "@sandgate/api/auth";
import { formatSpiffeId } from "@sandgate/pki";
import { type Call, ServiceError } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { isTrusted, type TrustState } from "../trust/trust-state.ts";
import type { Authenticator } from "./authenticator.ts";
import { BearerTokens, type TokenAuthenticatorDeps } from "./bearer-tokens.ts";

/** Recognizes the single-use credential of a supervisor that enrols, on IssueSandboxToken alone. Auth's handler consumes it. */
export class BootstrapTokenAuthenticator implements Authenticator {
  readonly name = "bootstrap-token";
  readonly #tokens: BearerTokens<"bootstrap">;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: TokenAuthenticatorDeps) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#tokens = new BearerTokens("bootstrap", deps);
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    if (call.method !== AuthService.method.issueSandboxToken) return undefined;
    const read = this.#tokens.read(call);
    const verified = read instanceof Promise ? await read : read;
    if (verified === undefined) return undefined;
    const { claims, keyId } = verified;
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
