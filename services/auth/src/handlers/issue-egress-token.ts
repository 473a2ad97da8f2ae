import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import { mintToken, sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { SigningKeys } from "../keys/signing-keys.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireSandboxPrincipal } from "./require-sandbox-principal.ts";

/** AuthService.IssueEgressToken: what a supervisor presents to the egress proxy. It names no host: policy is live. */
export function issueEgressToken(deps: {
  readonly keys: Pick<SigningKeys, "current">;
  readonly audit: Pick<AuditLog, "record">;
  readonly trustDomain: string;
  readonly lifeMs: number;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.issueEgressToken> {
  return async (_request, call) => {
    const { sandboxId, organizationId } = sandboxScopeOf(call);
    const { incarnation } = requireSandboxPrincipal(call, "session");
    const tokenId = deps.newTokenId();
    const issuedAtMs = Math.floor(deps.clock() / 1000) * 1000;
    const expiresAtMs = issuedAtMs + deps.lifeMs;
    const token = await mintToken({
      signer: deps.keys.current("ES256"),
      trustDomain: deps.trustDomain,
      claims: {
        kind: "egress",
        sandboxId,
        organizationId,
        incarnation,
        tokenId,
        issuedAtMs,
        expiresAtMs,
        enforceContainerBinding: true,
        useEgressGateway: true,
        enforceCentralizedEgress: true,
        isHipaaRegulated: false,
        isPciCompliant: false,
        audience: "egress-proxy",
        allowedHosts: undefined,
        confirmation: undefined,
      },
    });
    await deps.audit.record({
      action: "egress_token.issued",
      ...actorOfCall(call),
      organizationId,
      sandboxId,
      details: { token_id: tokenId, incarnation: String(incarnation) },
    });
    return { token, expireTime: timestampFromMs(expiresAtMs) };
  };
}
