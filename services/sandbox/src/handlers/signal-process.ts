import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { findProcessIdFaults, findSignalFaults } from "../domain/process-faults.ts";
import { askSupervisor, type RelayDeps } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.SignalProcess: sends a signal to a process, its group or all that it started. */
export function signalProcess(deps: RelayDeps): Handler<typeof SandboxService.method.signalProcess> {
  return async (request, call) => {
    requireNoFaults([...findProcessIdFaults(request.processId), ...findSignalFaults(request.signal)]);
    return askSupervisor(deps, call, { case: "signalProcess", value: request }, ({ case: kind, value }) =>
      kind === "signalProcess" ? value : undefined,
    );
  };
}
