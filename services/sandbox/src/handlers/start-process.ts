import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { findExecFaults } from "../domain/exec-faults.ts";
import { findLimitFaults } from "../domain/process-faults.ts";
import { findRequestIdFault } from "../domain/request-id.ts";
import { askSupervisor, type RelayDeps } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.StartProcess: starts a process in a READY sandbox that lives on without its caller; a repeated request id starts nothing. */
export function startProcess(deps: RelayDeps): Handler<typeof SandboxService.method.startProcess> {
  return async (request, call) => {
    const { start, limits, requestId } = request;
    const requestIdFault = findRequestIdFault(requestId);
    requireNoFaults([
      ...(requestIdFault === undefined ? [] : [requestIdFault]),
      ...(start === undefined ? [{ field: "start", fault: "is missing" }] : findExecFaults(start)),
      ...findLimitFaults(limits),
    ]);
    return askSupervisor(deps, call, { case: "startProcess", value: request }, ({ case: kind, value }) =>
      kind === "startProcess" ? value : undefined,
    );
  };
}
