import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ApiKeySchema } from "@sandgate/api/auth";
import type { ApiKeyRecord } from "../store/api-key-store.ts";

/** What others may know of an API key. */
export function apiKeyMessage(key: ApiKeyRecord): MessageInitShape<typeof ApiKeySchema> {
  return {
    apiKeyId: key.id,
    name: key.name,
    role: key.role,
    userId: key.userId,
    createTime: timestampFromMs(key.createdAtMs),
    ...(key.expiresAtMs === undefined ? {} : { expireTime: timestampFromMs(key.expiresAtMs) }),
    ...(key.usedAtMs === undefined ? {} : { lastUsedTime: timestampFromMs(key.usedAtMs) }),
  };
}
