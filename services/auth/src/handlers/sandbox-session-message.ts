import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { SandboxSessionSchema } from "@sandgate/api/auth";
import type { SandboxSessionRecord } from "../domain/sandbox-session.ts";

/** A session as callers see it. */
export function toSandboxSession(record: SandboxSessionRecord): MessageInitShape<typeof SandboxSessionSchema> {
  const { issuedAtMs, expiresAtMs, ...rest } = record;
  return { ...rest, issueTime: timestampFromMs(issuedAtMs), expireTime: timestampFromMs(expiresAtMs) };
}
