import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { findProcessIdFaults, findWaitFaults } from "../domain/process-faults.ts";
import type { PastProcesses } from "./past-processes.ts";
import { askSupervisor, findSession, type RelayDeps } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.WaitProcess: answers when a process has ended or the time is over; in a sandbox that is over all have ended. */
export function waitProcess(
  deps: RelayDeps & { readonly past: PastProcesses },
): Handler<typeof SandboxService.method.waitProcess> {
  return async (request, call) => {
    requireNoFaults([...findProcessIdFaults(request.processId), ...findWaitFaults(request.timeout)]);
    const { sandboxId } = sandboxScopeOf(call);
    if ((await findSession(deps, sandboxScopeOf(call), call.signal)) === undefined)
      return { process: deps.past.get(sandboxId, request.processId) };
    return askSupervisor(deps, call, { case: "waitProcess", value: request }, ({ case: kind, value }) =>
      kind === "waitProcess" ? value : undefined,
    );
  };
}
