import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { findInputFaults, findProcessIdFaults } from "../domain/process-faults.ts";
import { askSupervisor, type RelayDeps } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.WriteProcessInput: gives a process standard input at an offset; what it was given before is not given again. */
export function writeProcessInput(deps: RelayDeps): Handler<typeof SandboxService.method.writeProcessInput> {
  return async (request, call) => {
    requireNoFaults([...findProcessIdFaults(request.processId), ...findInputFaults(request.input, "input")]);
    return askSupervisor(deps, call, { case: "writeProcessInput", value: request }, ({ case: kind, value }) =>
      kind === "writeProcessInput" ? value : undefined,
    );
  };
}
