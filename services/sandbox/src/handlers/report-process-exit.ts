import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { parseExit } from "../domain/parse-exit.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { callerOf } from "./caller-of.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.ReportProcessExit: records how the main process ended. The first report counts; repeating it changes nothing. */
export function reportProcessExit(deps: {
  readonly store: Pick<SandboxStore, "recordExit">;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.reportProcessExit> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const exit = parseExit(request.exit);
    if ("fault" in exit) {
      requireNoFaults([exit]);
      return {};
    }
    const record = await deps.store.recordExit(scope, {
      incarnation: request.incarnation,
      exit,
      event: {
        ...callerOf(call),
        action: "sandbox.main_exited",
        details: exit.kind === "exited" ? { code: String(exit.code) } : { signal: exit.signal },
      },
      nowMs: deps.clock(),
    });
    if (record === undefined) throw new ServiceError("SANDBOX_CHANGED", "the sandbox has no such incarnation");
    deps.reconciler.poke(scope.sandboxId);
    return {};
  };
}
