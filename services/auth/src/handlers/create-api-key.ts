import { randomUUID } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { hashSecretToken, newSecretToken } from "../credentials/secret-token.ts";
import type { ApiKeyStore } from "../store/api-key-store.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { apiKeyMessage } from "./api-key-message.ts";
import { requireName } from "./require-name.ts";
import { requireRole } from "./require-role.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.CreateApiKey: a key for a program. Not with a key: a stolen one would make others and outlive itself. */
export function createApiKey(deps: {
  readonly store: Pick<ApiKeyStore, "create">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.createApiKey> {
  return async (request, call) => {
    const principal = requireUserPrincipal(call);
    if (principal.authenticator === "api-key")
      throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "a key cannot be had for a key");
    const name = requireName(request.name, { field: "name", mayBeEmpty: false });
    const role = requireRole(request.role);
    if (role > principal.role)
      throw new ServiceError("ROLE_TOO_LOW", "a key has no more than its user", { role: Role[role] });
    const now = deps.clock();
    const expiresAtMs = request.expireTime === undefined ? undefined : timestampMs(request.expireTime);
    if (expiresAtMs !== undefined && !(expiresAtMs > now))
      throw new ServiceError("REQUEST_INVALID", "the time is past", { field: "expire_time" });
    const secret = newSecretToken("sgk");
    const hash = hashSecretToken("sgk", secret);
    if (hash === undefined) throw new Error("a new secret does not have its own checksum");
    const { userId, organizationId } = principal;
    const key = { id: randomUUID(), userId, organizationId, name, role, createdAtMs: now, expiresAtMs };
    switch (await deps.store.create({ ...key, hash }, actorOfCall(call))) {
      case "created":
        return { apiKey: apiKeyMessage({ ...key, usedAtMs: undefined }), secret };
      case "name_taken":
        throw new ServiceError("API_KEY_NAME_TAKEN", "another key has this name");
      case "too_many":
        throw new ServiceError("LIMIT_REACHED", "a user has at most 50 keys");
    }
  };
}
