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
}

/** What an egress token says (S0-03). */
export interface EgressClaims extends SandboxClaims {
  readonly kind: "egress";
  readonly enforceContainerBinding: boolean;
  readonly useEgressGateway: boolean;
  readonly enforceCentralizedEgress: boolean;
  readonly isHipaaRegulated: boolean;
  readonly isPciCompliant: boolean;
  /** Narrows the policy where present; never widens it. */
  readonly allowedHosts: readonly string[] | undefined;
}

/** The claims of each kind of token. */
export interface ClaimsByKind {
  bootstrap: BootstrapClaims;
  session: SessionClaims;
  user: UserClaims;
  egress: EgressClaims;
}

/** The claims of any token of ours. */
export type TokenClaims = ClaimsByKind[keyof ClaimsByKind];
