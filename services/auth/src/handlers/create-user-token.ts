import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import type { AuditLog } from "@sandgate/audit";
import { mintToken, principalKey, tokenRules } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { SigningKeys } from "../keys/signing-keys.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** The authenticators of users who came without a token. */
const withoutToken: ReadonlySet<string> = new Set(["operator-certificate", "local-operator"]);

/**
 * AuthService.CreateUserToken: a session token for the calling user. Not for a caller who came with a token: a stolen one would
 * otherwise renew itself for ever, or outlive what its provider gave it.
 */
export function createUserToken(deps: {
  readonly keys: Pick<SigningKeys, "current">;
  readonly audit: Pick<AuditLog, "record">;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.createUserToken> {
  return async (_request, call) => {
    const principal = call.get(principalKey);
    if (principal.kind !== "user" || !withoutToken.has(principal.authenticator))
      throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "a session token cannot be had for a token");
    const { userId, organizationId, role } = principal;
    const tokenId = deps.newTokenId();
    const issuedAtMs = Math.floor(deps.clock() / 1000) * 1000;
    const expiresAtMs = issuedAtMs + tokenRules.user.maxLifeMs;
    const token = await mintToken({
      signer: deps.keys.current("EdDSA"),
      trustDomain: deps.trustDomain,
      claims: { kind: "user", userId, organizationId, role, tokenId, issuedAtMs, expiresAtMs },
    });
    await deps.audit.record({
      action: "user_token.issued",
      ...actorOfCall(call),
      organizationId,
      details: { token_id: tokenId },
    });
    return { token, expireTime: timestampFromMs(expiresAtMs) };
  };
}
