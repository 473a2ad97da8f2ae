import { formatSpiffeId } from "@sandgate/pki";
import { formatRole } from "./role-claim.ts";
import type { Confirmation, TokenClaims } from "./token-claims.ts";
import { sessionClaims, tokenIssuer, tokenRules } from "./token-kind.ts";
import type { TokenSigner } from "./token-signer.ts";

/**
 * The token that says these claims. Throws TypeError when the signer's algorithm is not the kind's, and RangeError for a life that
 * verifiers would refuse.
 */
export async function mintToken(options: {
  readonly signer: TokenSigner;
  readonly trustDomain: string;
  readonly claims: TokenClaims;
}): Promise<string> {
  const { signer, trustDomain, claims } = options;
  const rule = tokenRules[claims.kind];
  if (signer.algorithm !== rule.algorithm) throw new TypeError("the signer's algorithm is not the token's");
  const lifeMs = claims.expiresAtMs - claims.issuedAtMs;
  if (!(lifeMs > 0 && lifeMs <= rule.maxLifeMs)) throw new RangeError("the token's life is out of range");
  const issuedAt = Math.floor(claims.issuedAtMs / 1000);
  return signer.sign(rule.type, {
    iss: tokenIssuer(trustDomain),
    aud: claims.kind === "egress" ? claims.audience : rule.audience,
    iat: issuedAt,
    nbf: issuedAt,
    exp: Math.floor(claims.expiresAtMs / 1000),
    jti: claims.tokenId,
    ...claimsOfKind(trustDomain, claims),
  });
}

function claimsOfKind(trustDomain: string, claims: TokenClaims): Record<string, unknown> {
  switch (claims.kind) {
    case "bootstrap":
      return sandboxClaims(trustDomain, claims);
    case "session":
      return { ...sandboxClaims(trustDomain, claims), cnf: { jkt: claims.keyThumbprint } };
    case "user":
      return {
        sub: formatSpiffeId({ trustDomain, kind: "user", name: claims.userId }),
        organization_id: claims.organizationId,
        role: formatRole(claims.role),
        ...(claims.session === undefined ? {} : { [sessionClaims[claims.session.kind]]: claims.session.id }),
      };
    case "egress":
      return {
        sub: formatSpiffeId({ trustDomain, kind: "sandbox", name: claims.sandboxId }),
        container_id: claims.sandboxId,
        organization_uuid: claims.organizationId,
        incarnation: Number(claims.incarnation),
        enforce_container_binding: String(claims.enforceContainerBinding),
        use_egress_gateway: String(claims.useEgressGateway),
        enforce_centralized_egress: String(claims.enforceCentralizedEgress),
        is_hipaa_regulated: String(claims.isHipaaRegulated),
        is_pci_compliant: String(claims.isPciCompliant),
        ...(claims.allowedHosts === undefined ? {} : { allowed_hosts: formatHosts(claims.allowedHosts) }),
        ...(claims.confirmation === undefined ? {} : { cnf: formatConfirmation(claims.confirmation) }),
      };
    case "exchange-permit":
      return {
        ...sandboxClaims(trustDomain, claims),
        permitted_audience: claims.audience,
        policy_revision: Number(claims.policyRevision),
      };
  }
}

/** D-09: a host that held a comma would be two. */
function formatHosts(hosts: readonly string[]): string {
  if (!hosts.every((host) => /^(?:\*\.)?[a-z0-9._-]{1,253}$/.test(host)))
    throw new TypeError("a host that cannot stand in a token");
  return hosts.join(",");
}

function formatConfirmation(confirmation: Confirmation): Record<string, string> {
  return confirmation.kind === "key" ? { jkt: confirmation.thumbprint } : { "x5t#S256": confirmation.sha256 };
}

function sandboxClaims(
  trustDomain: string,
  claims: { readonly sandboxId: string; readonly organizationId: string; readonly incarnation: bigint },
): Record<string, unknown> {
  return {
    sub: formatSpiffeId({ trustDomain, kind: "sandbox", name: claims.sandboxId }),
    sandbox_id: claims.sandboxId,
    organization_id: claims.organizationId,
    incarnation: Number(claims.incarnation),
  };
}
