import { AuthService } from "@sandgate/api/auth";
import { formatSpiffeId } from "@sandgate/pki";
import { type Call, ServiceError } from "@sandgate/rpc";
import { peerKey } from "../peer.ts";
import type { Principal } from "../principal.ts";
import { TokenVerifier } from "../tokens/index.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { isTrusted, type TrustState } from "../trust/trust-state.ts";
import { type Authenticator, bearerToken } from "./authenticator.ts";
import { rejectionOf } from "./rejection.ts";

/** Recognizes the session tokens of enrolled sandboxes: bound by `cnf.jkt` to the key of the connection's certificate (G-02, G-16). */
export class SandboxTokenAuthenticator implements Authenticator {
  readonly name = "sandbox-token";
  readonly #verifier: TokenVerifier<"session">;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: { trust: TrustState; register: SubjectRegister; trustDomain: string; clock: () => number }) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#verifier = new TokenVerifier({
      kind: "session",
      trustDomain: deps.trustDomain,
      keys: deps.trust,
      clock: deps.clock,
    });
    deps.trust.onKeysChange(() => this.#verifier.bumpEpoch());
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    const token = bearerToken(call);
    if (token === undefined) return undefined;
    const peer = call.get(peerKey);
    const verification = await this.#verifier.verify(token, peer.kind === "sandbox" ? peer.keyThumbprint : undefined);
    if (verification.outcome === "not_ours") return undefined;
    if (verification.outcome === "rejected") throw rejectionOf(verification.fault);
    requireCurrent(this.#trust);
    const { claims, keyId } = verification;
    const subject = await this.#register.findSandbox(claims.sandboxId);
    if (
      subject === undefined ||
      !isTrusted(subject) ||
      subject.incarnation !== claims.incarnation ||
      subject.organizationId !== claims.organizationId ||
      this.#trust.isKeyRevoked(keyId) ||
      this.#trust.isTokenRevoked(claims.tokenId) ||
      // A refresh whose reply was lost is made again with the token that it replaced: its handler allows that for 30 s.
      (this.#trust.isTokenSuperseded(claims.tokenId) && call.method !== AuthService.method.refreshSandboxToken) ||
      this.#trust.isIncarnationRevoked(claims.sandboxId, claims.incarnation)
    )
      throw new ServiceError("CREDENTIAL_REVOKED", "the token is revoked or replaced");
    return {
      kind: "sandbox",
      sandboxId: claims.sandboxId,
      organizationId: claims.organizationId,
      incarnation: claims.incarnation,
      credential: "session",
      tokenId: claims.tokenId,
      keyId,
      spiffeId: formatSpiffeId({ trustDomain: this.#trustDomain, kind: "sandbox", name: claims.sandboxId }),
      authenticator: this.name,
    };
  }
}
