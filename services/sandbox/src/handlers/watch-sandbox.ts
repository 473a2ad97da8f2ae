import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { SandboxChanges } from "../store/sandbox-changes.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireSandbox } from "./require-sandbox.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/**
 * SandboxService.WatchSandbox: a sandbox as it is, then whenever it is another; changes that follow each other faster than they
 * can be read arrive as one. Ends after DELETED.
 */
export function watchSandbox(deps: {
  readonly store: Pick<SandboxStore, "find">;
  readonly changes: Pick<SandboxChanges, "subscribe">;
  readonly trustDomain: string;
}): Handler<typeof SandboxService.method.watchSandbox> {
  return async function* (_request, call) {
    const scope = sandboxScopeOf(call);
    using subscription = deps.changes.subscribe(scope.sandboxId);
    for (let version = 0n; ; ) {
      const record = await requireSandbox(deps.store, scope);
      if (record.version > version) yield { sandbox: toSandboxMessage(record, deps.trustDomain) };
      version = record.version;
      if (record.phase === "DELETED") return;
      await subscription.next(call.signal);
    }
  };
}
