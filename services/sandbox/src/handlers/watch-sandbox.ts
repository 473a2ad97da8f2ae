import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { SandboxService, WatchSandboxRequest } from "@sandgate/api/sandbox";
import { type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { decodePageToken, encodePageToken, PageTokenError } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { SandboxChanges } from "../store/sandbox-changes.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireSandbox } from "./require-sandbox.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

const changesAtOnce = 100;

/**
 * SandboxService.WatchSandbox: a sandbox as it is, or every change since a resume token, then whenever it is another. Ends after
 * DELETED.
 */
export function watchSandbox(deps: {
  readonly store: Pick<SandboxStore, "find" | "readChanges">;
  readonly changes: Pick<SandboxChanges, "subscribe">;
  readonly trustDomain: string;
}): Handler<typeof SandboxService.method.watchSandbox> {
  return async function* (request, call) {
    const scope = sandboxScopeOf(call);
    using subscription = deps.changes.subscribe(scope.sandboxId);
    for (let afterVersion = await requireBeginning(deps.store, scope, request); ; ) {
      const changes = await deps.store.readChanges(scope, { afterVersion, limit: changesAtOnce });
      for (const { record, timeMs, isPast } of changes) {
        yield {
          sandbox: toSandboxMessage(record, deps.trustDomain),
          resumeToken: encodePageToken(String(record.version), tokenOf(scope)),
          changeTime: timestampFromMs(timeMs),
          past: isPast,
        };
        afterVersion = record.version;
        if (record.phase === "DELETED") return;
      }
      if (changes.length < changesAtOnce) await subscription.next(call.signal);
    }
  };
}

/** The version after which the stream begins. */
async function requireBeginning(
  store: Pick<SandboxStore, "find" | "readChanges">,
  scope: SandboxScope,
  { resumeToken, history }: WatchSandboxRequest,
): Promise<bigint> {
  const { version } = await requireSandbox(store, scope);
  if (resumeToken === "") return history ? 0n : version - 1n;
  const seen = readVersion(resumeToken, scope);
  const [next] = await store.readChanges(scope, { afterVersion: seen, limit: 1 });
  const isKept = next === undefined ? seen === version : next.record.version === seen + 1n;
  if (!isKept)
    throw new ServiceError("RESUME_TOKEN_EXPIRED", "the changes after this token are not kept any more", {
      field: "resume_token",
    });
  return seen;
}

function readVersion(token: string, scope: SandboxScope): bigint {
  try {
    return decodePageToken(token, parseVersion, tokenOf(scope)) ?? 0n;
  } catch (cause) {
    if (!(cause instanceof PageTokenError)) throw cause;
    throw new ServiceError("REQUEST_INVALID", "the resume token is none of this sandbox", { field: "resume_token" });
  }
}

function parseVersion(position: unknown): bigint {
  if (typeof position !== "string" || !/^[1-9]\d{0,17}$/.test(position)) throw new TypeError("not a version");
  return BigInt(position);
}

function tokenOf({ organizationId, sandboxId }: SandboxScope): Readonly<Record<string, string>> {
  return { watch: sandboxId, organizationId };
}
