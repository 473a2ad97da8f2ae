/** What a verified container token says (S0-15). Times are milliseconds since the epoch. */
export interface ContainerToken {
  /** `jti`: by which it is found and revoked. */
  readonly tokenId: string;
  /** `container_id`: the sandbox. */
  readonly containerId: string;
  /** `organization_uuid`. */
  readonly organizationId: string;
  /** Which backing container of the sandbox, from 1. */
  readonly incarnation: number;
  readonly audience: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly enforceContainerBinding: boolean;
  readonly useEgressGateway: boolean;
  readonly enforceCentralizedEgress: boolean;
  readonly isHipaaRegulated: boolean;
  readonly isPciCompliant: boolean;
  /** Undefined: the token does not narrow the sandbox's policy. */
  readonly allowedHosts: readonly string[] | undefined;
}
