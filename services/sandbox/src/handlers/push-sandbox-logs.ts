import type { PushSandboxLogsRequest, SandboxService } from "@sandgate/api/sandbox";
import { type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { maximumLogMessageBytes } from "../domain/plan-log-append.ts";
import type { FieldFault } from "../domain/request-faults.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.PushSandboxLogs: stores output of the main process, message by message, and says up to where it is durable. */
export function pushSandboxLogs(deps: {
  readonly store: Pick<SandboxStore, "appendLog" | "findOwnLogEnd">;
}): Handler<typeof SandboxService.method.pushSandboxLogs> {
  const append = (scope: SandboxScope, { incarnation, offset, data }: PushSandboxLogsRequest): Promise<bigint> =>
    deps.store.appendLog(scope, { incarnation, offset, data });
  return async (requests, call) => {
    const scope = sandboxScopeOf(call);
    let storedOffset: bigint | undefined;
    for await (const request of requests) {
      requireNoFaults(findPieceFaults(request));
      storedOffset = await append(scope, request);
    }
    return { storedOffset: storedOffset ?? (await deps.store.findOwnLogEnd(scope)) };
  };
}

function findPieceFaults({ offset, data }: PushSandboxLogsRequest): FieldFault[] {
  const faults: FieldFault[] = [];
  if (offset < 0n) faults.push({ field: "offset", fault: "must not be negative" });
  if (data.byteLength > maximumLogMessageBytes) faults.push({ field: "data", fault: "must have at most 1 MiB" });
  return faults;
}
