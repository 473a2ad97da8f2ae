import { AuthService } from "@sandgate/api/auth";
import { formatSpiffeId } from "@sandgate/pki";
import { type Call, ServiceError } from "@sandgate/rpc";
import { peerKey } from "../peer.ts";
import type { Principal } from "../principal.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { isTrusted, type TrustState } from "../trust/trust-state.ts";
import type { Authenticator } from "./authenticator.ts";
import { BearerTokens, type TokenAuthenticatorDeps } from "./bearer-tokens.ts";

/** Recognizes the session tokens of enrolled sandboxes: bound by `cnf.jkt` to the key of the connection's certificate (G-02, G-16). */
export class SandboxTokenAuthenticator implements Authenticator {
  readonly name = "sandbox-token";
  readonly #tokens: BearerTokens<"session">;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: TokenAuthenticatorDeps) {
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
    this.#tokens = new BearerTokens("session", deps);
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    const peer = call.get(peerKey);
    const read = this.#tokens.read(call, peer.kind === "sandbox" ? peer.keyThumbprint : undefined);
    const verified = read instanceof Promise ? await read : read;
    if (verified === undefined) return undefined;
    const { claims, keyId } = verified;
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
      spiffeId:
        peer.kind === "sandbox" && peer.sandboxId === claims.sandboxId
          ? peer.spiffeId
          : formatSpiffeId({ trustDomain: this.#trustDomain, kind: "sandbox", name: claims.sandboxId }),
      authenticator: this.name,
    };
  }
}
