import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { isTrusted, mintToken, tokenRules } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { AuthStore } from "../store/auth-store.ts";

/**
 * AuthService.CreateExchangePermit: Policy's consent to one exchange, in a form that the sandbox can carry and not change. By itself it
 * opens nothing: ExchangeToken wants the sandbox's own credential with it.
 */
export function createExchangePermit(deps: {
  readonly store: Pick<AuthStore, "findSandbox">;
  readonly keys: Pick<SigningKeys, "current">;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.createExchangePermit> {
  return async ({ sandboxId, audience, policyRevision }) => {
    if (!/^[\x21-\x7e]{1,255}$/.test(audience))
      throw new ServiceError("REQUEST_INVALID", "an audience is 1 to 255 printable characters", { field: "audience" });
    if (policyRevision < 1n)
      throw new ServiceError("REQUEST_INVALID", "a policy revision counts from 1", { field: "policy_revision" });
    const subject = await deps.store.findSandbox(sandboxId);
    if (subject === undefined || !subject.alive)
      throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
    if (!isTrusted(subject))
      throw new ServiceError("CREDENTIAL_REVOKED", "the incarnation is revoked", { sandbox_id: sandboxId });
    const issuedAtMs = Math.floor(deps.clock() / 1000) * 1000;
    const expiresAtMs = issuedAtMs + tokenRules["exchange-permit"].maxLifeMs;
    const permit = await mintToken({
      signer: deps.keys.current("EdDSA"),
      trustDomain: deps.trustDomain,
      claims: {
        kind: "exchange-permit",
        sandboxId,
        organizationId: subject.organizationId,
        incarnation: subject.incarnation,
        audience,
        policyRevision,
        tokenId: deps.newTokenId(),
        issuedAtMs,
        expiresAtMs,
      },
    });
    return { permit, expireTime: timestampFromMs(expiresAtMs) };
  };
}
