import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { mintToken, tokenRules } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashTokenId } from "../credentials/token-id.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { AuthStore } from "../store/auth-store.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.CreateBootstrapCredential: the credential that one incarnation's supervisor enrols with, in the last one's place. */
export function createBootstrapCredential(deps: {
  readonly store: Pick<AuthStore, "replaceBootstrap">;
  readonly keys: Pick<SigningKeys, "current">;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.createBootstrapCredential> {
  return async ({ sandboxId, incarnation }, call) => {
    const tokenId = deps.newTokenId();
    const issuedAtMs = Math.floor(deps.clock() / 1000) * 1000;
    const expiresAtMs = issuedAtMs + tokenRules.bootstrap.maxLifeMs;
    const { decision, organizationId } = await deps.store.replaceBootstrap(
      { sandboxId, incarnation, hash: hashTokenId(tokenId), expiresAtMs },
      actorOfCall(call),
    );
    switch (decision) {
      case "absent":
        throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
      case "other_incarnation":
        throw new ServiceError("SANDBOX_CHANGED", "another incarnation is registered", { sandbox_id: sandboxId });
      case "revoked":
        throw new ServiceError("CREDENTIAL_REVOKED", "the incarnation is revoked", { sandbox_id: sandboxId });
      case "created":
        break;
    }
    const token = await mintToken({
      signer: deps.keys.current("EdDSA"),
      trustDomain: deps.trustDomain,
      claims: { kind: "bootstrap", sandboxId, organizationId, incarnation, tokenId, issuedAtMs, expiresAtMs },
    });
    return { token, expireTime: timestampFromMs(expiresAtMs) };
  };
}
