import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import {
  type DenialRecorder,
  type KeySet,
  mintWorkloadToken,
  recordRefusal,
  sandboxScopeOf,
  verifyToken,
} from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { SigningKeys } from "../keys/signing-keys.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireSandboxPrincipal } from "./require-sandbox-principal.ts";

/** AuthService.ExchangeToken: a workload's proof of who it is, for the one audience that Policy has consented to. */
export function exchangeToken(deps: {
  /** What permits are signed with. */
  readonly permitKeys: KeySet;
  readonly keys: Pick<SigningKeys, "currentWorkload">;
  readonly audit: Pick<AuditLog, "record">;
  readonly recordDenial: DenialRecorder;
  readonly trustDomain: string;
  readonly lifeMs: number;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.exchangeToken> {
  return async ({ audience, permit }, call) => {
    const scope = sandboxScopeOf(call);
    const { incarnation } = requireSandboxPrincipal(call, "session");
    const now = deps.clock();
    const consent = await verifyToken("exchange-permit", permit, {
      keys: deps.permitKeys,
      trustDomain: deps.trustDomain,
      now,
      keyThumbprint: undefined,
    });
    if (
      consent.outcome !== "verified" ||
      consent.claims.sandboxId !== scope.sandboxId ||
      consent.claims.incarnation !== incarnation ||
      consent.claims.audience !== audience
    ) {
      const refusal = new ServiceError(
        "EXCHANGE_PERMIT_REJECTED",
        "the permit is not for this sandbox and audience now",
      );
      throw await recordRefusal(deps.recordDenial, call, scope, refusal);
    }
    const tokenId = deps.newTokenId();
    const issuedAtMs = Math.floor(now / 1000) * 1000;
    const expiresAtMs = issuedAtMs + deps.lifeMs;
    const token = await mintWorkloadToken({
      signer: deps.keys.currentWorkload(),
      trustDomain: deps.trustDomain,
      claims: { sandboxId: scope.sandboxId, audience, tokenId, issuedAtMs, expiresAtMs },
    });
    await deps.audit.record({
      action: "workload_token.issued",
      ...actorOfCall(call),
      organizationId: scope.organizationId,
      sandboxId: scope.sandboxId,
      details: {
        audience,
        token_id: tokenId,
        policy_revision: String(consent.claims.policyRevision),
        incarnation: String(incarnation),
      },
    });
    return { token, expireTime: timestampFromMs(expiresAtMs) };
  };
}
