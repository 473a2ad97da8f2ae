import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { findPathFaults } from "../domain/file-faults.ts";
import { type RelayDeps, relayCall, requireSession } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.ReadArchive: a directory of a READY sandbox as a tar archive. Without an `end` it is not whole. */
export function readArchive(deps: RelayDeps): Handler<typeof SandboxService.method.readArchive> {
  return async function* (request, call) {
    requireNoFaults(findPathFaults(request.path, "path"));
    const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
    const operation = { case: "readArchive", value: request } as const;
    const answers = relayCall(
      deps,
      call,
      session,
      { operation },
      {
        isLast: ({ answer }) => answer.case !== "readArchive" || answer.value.part.case === "end",
      },
    );
    for await (const { answer } of answers) if (answer.case === "readArchive") yield answer.value;
  };
}
