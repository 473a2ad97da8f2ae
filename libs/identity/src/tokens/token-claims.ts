import type { Role } from "@sandgate/api/options";

interface Lifetime {
  /** The `jti`. */
  readonly tokenId: string;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

interface SandboxClaims extends Lifetime {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly incarnation: bigint;
}

/** What a bootstrap token says. */
export interface BootstrapClaims extends SandboxClaims {
  readonly kind: "bootstrap";
}

/** What a sandbox's session token says. */
export interface SessionClaims extends SandboxClaims {
  readonly kind: "session";
  /** `cnf.jkt`: thumbprint of the key that the presenter's certificate must have. */
  readonly keyThumbprint: string;
}

/** What a user's session token says. */
export interface UserClaims extends Lifetime {
  readonly kind: "user";
  readonly userId: string;
  readonly organizationId: string;
  readonly role: Role;
  /** The login session or the API key that the token was had by; undefined for one that a certificate was shown for. */
  readonly session?: UserSessionClaim;
}

/** What a user's token was had by. It dies with it. */
export interface UserSessionClaim {
  readonly kind: "login" | "api-key";
  /** A UUID. */
  readonly id: string;
}

/** What the presenter of a token must hold (RFC 7800). */
export type Confirmation =
  /** `cnf.jkt`: the key of the client certificate, by RFC 7638 thumbprint. */
  | { readonly kind: "key"; readonly thumbprint: string }
  /** `cnf["x5t#S256"]` (RFC 8705): the very client certificate, by base64url SHA-256 of its DER. */
  | { readonly kind: "certificate"; readonly sha256: string };

/** What a container token says (S0-03). */
export interface EgressClaims extends SandboxClaims {
  readonly kind: "egress";
  /** The one relying party that it is for: `egress-proxy`, or one of the configuration (D-02). */
  readonly audience: string;
  readonly enforceContainerBinding: boolean;
  readonly useEgressGateway: boolean;
  readonly enforceCentralizedEgress: boolean;
  readonly isHipaaRegulated: boolean;
  readonly isPciCompliant: boolean;
  /** Narrows the policy where present; never widens it. */
  readonly allowedHosts: readonly string[] | undefined;
  /** Undefined: whoever checks the binding does so by the channel that the token came over. */
  readonly confirmation: Confirmation | undefined;
}

/** What Policy's permission to mint one token for a third party says; the calling sandbox hands it to ExchangeToken. */
export interface ExchangePermitClaims extends SandboxClaims {
  readonly kind: "exchange-permit";
  /** The audience of the token that may be minted. */
  readonly audience: string;
  /** The revision of the sandbox's policy that grants it. */
  readonly policyRevision: bigint;
}

/** The claims of each kind of token. */
export interface ClaimsByKind {
  bootstrap: BootstrapClaims;
  session: SessionClaims;
  user: UserClaims;
  egress: EgressClaims;
  "exchange-permit": ExchangePermitClaims;
}

/** The claims of any token of ours. */
export type TokenClaims = ClaimsByKind[keyof ClaimsByKind];
