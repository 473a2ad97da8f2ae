import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { PastProcesses } from "./past-processes.ts";
import { askSupervisor, findSession, type RelayDeps } from "./relay-call.ts";

/** SandboxService.ListProcesses: the processes of a sandbox; of one that is over those that were kept. */
export function listProcesses(
  deps: RelayDeps & { readonly past: PastProcesses },
): Handler<typeof SandboxService.method.listProcesses> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    if ((await findSession(deps, scope, call.signal)) === undefined)
      return { processes: [...deps.past.list(scope.sandboxId)] };
    return askSupervisor(deps, call, { case: "listProcesses", value: request }, ({ case: kind, value }) =>
      kind === "listProcesses" ? value : undefined,
    );
  };
}
