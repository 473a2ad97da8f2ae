import { type EgressClaims, TokenVerifier, type TrustState } from "@sandgate/identity";
import { type AddressRange, type Asked, type Authority, decide, type PolicyDenial } from "@sandgate/policy";
import type { HeaderFields } from "../http/header-fields.ts";
import { claimLeaves } from "./host-claim.ts";
import type { EnforcedPolicy, PolicyTable } from "./policy-table.ts";
import { readProxyCredentials } from "./proxy-credentials.ts";
import { type Outage, Refusal } from "./refusal.ts";

/** Who asks: what the token says, and the kid of the key that signed it. */
export type EgressIdentity = EgressClaims & { readonly keyId: string };

/** Why a destination is allowed. */
export interface Permission {
  /** What is allowed: something that is asked for later is decided on then. */
  readonly asked: Asked;
  readonly name: string;
  readonly revision: bigint;
  readonly allowedRanges: readonly AddressRange[];
  /** Why it would be denied if the policy did not merely observe; undefined where a rule allows it. */
  readonly wouldDeny: PolicyDenial | undefined;
}

/** What the gatekeeper asks of the trust feed. */
export type Trust = Pick<TrustState, "isCurrent" | "isTokenRevoked" | "isIncarnationRevoked" | "isKeyRevoked" | "find">;

const denials: Readonly<Record<PolicyDenial, string>> = {
  host_not_allowed: "the sandbox's policy does not allow this host",
  port_not_allowed: "the sandbox's policy allows this host, but not this port",
  ip_not_allowed: "this address is not reachable from a sandbox",
  protocol_not_allowed: "the sandbox's policy allows this host, but not this protocol",
  method_not_allowed: "the sandbox's policy allows this host, but not this method",
  path_not_allowed: "the sandbox's policy allows this host, but not this path",
};

/** Says who asks, by channel and token together, and whether the sandbox's policy lets it through. */
export class Gatekeeper {
  readonly #trust: Trust;
  readonly #policies: PolicyTable;
  readonly #isPolicyCurrent: () => boolean;
  readonly #tokens: TokenVerifier<"egress">;
  readonly #clock: () => number;

  constructor(options: {
    readonly trust: Trust;
    readonly trustDomain: string;
    readonly policies: PolicyTable;
    readonly isPolicyCurrent: () => boolean;
    readonly clock: () => number;
  }) {
    this.#trust = options.trust;
    this.#policies = options.policies;
    this.#isPolicyCurrent = options.isPolicyCurrent;
    this.#clock = options.clock;
    this.#tokens = new TokenVerifier({
      kind: "egress",
      trustDomain: options.trustDomain,
      keys: options.trust,
      clock: options.clock,
    });
  }

  /** Why nothing may pass at the moment, whether it begins now or is open already; undefined when all is known that decides. */
  findOutage(): Outage | undefined {
    if (!this.#trust.isCurrent()) return "trust_unavailable";
    return this.#isPolicyCurrent() ? undefined : "policy_unavailable";
  }

  /** Forgets the tokens that were verified: call it when the signing keys change. */
  forgetTokens(): void {
    this.#tokens.bumpEpoch();
  }

  /**
   * The claims of the token that came over a sandbox's channel. Throws a Refusal: 407 for a token that is missing or not
   * accepted, 403 for one of another sandbox, 503 where nothing can be trusted at the moment.
   */
  async authenticate(sandboxId: string, fields: HeaderFields): Promise<EgressIdentity> {
    this.#requireTrust();
    const { token, userSandboxId } = readProxyCredentials(fields);
    const verification = await this.#tokens.verify(token, undefined);
    if (verification.outcome === "rejected" && verification.fault === "expired")
      throw Refusal.unauthenticated("token_expired", "the egress token has expired");
    if (verification.outcome !== "verified")
      throw Refusal.unauthenticated("token_invalid", "the egress token is not valid here");
    const claims = { ...verification.claims, keyId: verification.keyId };
    if (claims.sandboxId !== sandboxId || (userSandboxId !== undefined && userSandboxId !== claims.sandboxId))
      throw Refusal.denied("binding_mismatch", "the token belongs to another sandbox than this channel");
    this.requireStanding(claims);
    if (this.#clock() >= claims.expiresAtMs)
      throw Refusal.unauthenticated("token_expired", "the egress token has expired");
    if (!claims.useEgressGateway)
      throw Refusal.denied("binding_mismatch", "the token is not one for the egress gateway");
    return claims;
  }

  /** Throws a Refusal where claims that were verified have been revoked since. */
  requireStanding({ tokenId, keyId, sandboxId, incarnation }: EgressIdentity): void {
    this.#requireTrust();
    if (
      this.#trust.isTokenRevoked(tokenId) ||
      this.#trust.isIncarnationRevoked(sandboxId, incarnation) ||
      this.#trust.isKeyRevoked(keyId)
    )
      throw Refusal.unauthenticated("token_revoked", "the egress token, or its sandbox, was revoked");
  }

  /**
   * What lets the sandbox open a tunnel. Where plain HTTP cannot follow, TLS is what has to be allowed. Throws as `permit` does.
   */
  permitTunnel(claims: EgressClaims, destination: Authority, mayBePlain: boolean): Permission {
    const policy = this.#requirePolicy(claims);
    const anything: Asked = { kind: "bytes" };
    if (decide(policy.compiled, destination, this.#clock(), anything).verdict === "allow")
      return this.permit(claims, destination, anything);
    return this.permit(claims, destination, { kind: mayBePlain ? "connection" : "tls" });
  }

  /** What lets the sandbox ask this of a destination. Throws a Refusal: 403, or 503 where its policy is not known. */
  permit(claims: EgressClaims, destination: Authority, asked: Asked): Permission {
    const policy = this.#requirePolicy(claims);
    const verdict = decide(policy.compiled, destination, this.#clock(), asked);
    const by = { rule: verdict.rule, policyRevision: policy.revision };
    if (verdict.verdict === "deny")
      throw Refusal.denied(verdict.reason, denials[verdict.reason], { ...by, requestable: !verdict.forbidden });
    if (!claimLeaves(claims.allowedHosts, destination.host))
      throw Refusal.denied("host_not_allowed", "the token does not allow this host", by);
    return {
      asked,
      name: verdict.rule,
      revision: policy.revision,
      allowedRanges: verdict.allowedRanges,
      wouldDeny: verdict.verdict === "would_deny" ? verdict.reason : undefined,
    };
  }

  #requirePolicy({ sandboxId }: EgressClaims): EnforcedPolicy {
    const policy = this.#policies.find(sandboxId);
    if (policy === undefined || !this.#isPolicyCurrent())
      throw Refusal.fault(503, "policy_unavailable", "the sandbox's policy is not known at the moment");
    return policy;
  }

  #requireTrust(): void {
    if (!this.#trust.isCurrent())
      throw Refusal.fault(503, "trust_unavailable", "no credential is accepted without current revocation data");
  }
}
