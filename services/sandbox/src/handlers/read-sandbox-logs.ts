import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { isOver } from "../domain/phase.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SandboxChanges } from "../store/sandbox-changes.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireSandbox } from "./require-sandbox.ts";

const pieceBytes = 256 * 1024;

/** SandboxService.ReadSandboxLogs: the stored output of the main process; with `follow`, until the process ends. */
export function readSandboxLogs(deps: {
  readonly store: Pick<SandboxStore, "find" | "readLog" | "findLogEnd">;
  readonly changes: Pick<SandboxChanges, "subscribe">;
}): Handler<typeof SandboxService.method.readSandboxLogs> {
  return async function* (request, call) {
    const scope = sandboxScopeOf(call);
    requireNoFaults(request.offset < 0n ? [{ field: "offset", fault: "must not be negative" }] : []);
    using subscription = deps.changes.subscribe(scope.sandboxId, ["changed", "logged"]);
    const endOffset = await deps.store.findLogEnd(scope);
    // biome-ignore lint/complexity/useMathMinMax: they are bigints
    for (let offset = request.offset < endOffset ? request.offset : endOffset; ; ) {
      // before the output: what an ended process wrote is stored before its end is
      const ended = hasNoMoreOutput(await requireSandbox(deps.store, scope));
      const piece = await deps.store.readLog(scope, { offset, limitBytes: pieceBytes });
      if (piece.data.byteLength > 0) {
        yield { offset: piece.offset, data: piece.data };
        offset = piece.offset + BigInt(piece.data.byteLength);
      }
      if (offset < piece.endOffset) continue;
      if (!request.follow || ended) return;
      await subscription.next(call.signal);
    }
  };
}

function hasNoMoreOutput(record: SandboxRecord): boolean {
  return record.mainExit !== undefined || record.spec.command.length === 0 || isOver(record.phase);
}
