import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { type DenialRecorder, mintToken, recordRefusal, tokenRules } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken } from "../credentials/secret-token.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { ApiKeyStore } from "../store/api-key-store.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { apiKeyMessage } from "./api-key-message.ts";

/** AuthService.ExchangeApiKey: an access token for a program. It says which key it is of, and dies with that. */
export function exchangeApiKey(deps: {
  readonly store: Pick<ApiKeyStore, "use">;
  readonly keys: Pick<SigningKeys, "current">;
  readonly spiffeIdOf: (userId: string) => string;
  readonly recordDenial: DenialRecorder;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.exchangeApiKey> {
  return async ({ secret }, call) => {
    const now = deps.clock();
    const { peer } = actorOfCall(call);
    const hash = hashSecretToken("sgk", secret);
    const actorOf = (userId: string) => ({ principal: deps.spiffeIdOf(userId), peer });
    const found = hash && (await deps.store.use(hash, now, actorOf));
    const issuedAtMs = Math.floor(now / 1000) * 1000;
    const keyEndsAtMs = Math.floor((found?.key.expiresAtMs ?? Number.MAX_SAFE_INTEGER) / 1000) * 1000;
    const expiresAtMs = Math.min(issuedAtMs + tokenRules.user.maxLifeMs, keyEndsAtMs);
    if (found === undefined || expiresAtMs <= issuedAtMs) {
      const error = new ServiceError("CREDENTIAL_REJECTED", "the api key is unknown, revoked or expired");
      throw await recordRefusal(deps.recordDenial, call, { sandboxId: "", organizationId: "" }, error);
    }
    const { key, userName, userRole } = found;
    const { userId, organizationId } = key;
    const role = Math.min(key.role, userRole);
    const accessToken = await mintToken({
      signer: deps.keys.current("EdDSA"),
      trustDomain: deps.trustDomain,
      claims: {
        kind: "user",
        userId,
        organizationId,
        role,
        tokenId: deps.newTokenId(),
        issuedAtMs,
        expiresAtMs,
        session: { kind: "api-key", id: key.id },
      },
    });
    return {
      accessToken,
      expireTime: timestampFromMs(expiresAtMs),
      user: { userId, organizationId, role, name: userName, active: true },
      apiKey: apiKeyMessage(key),
    };
  };
}
