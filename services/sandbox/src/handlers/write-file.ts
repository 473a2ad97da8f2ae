import type { SandboxService, WriteFileRequest } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findDataFaults, findModeFaults, findPathFaults } from "../domain/file-faults.ts";
import { type RelayDeps, relayCall, requireSession } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.WriteFile: writes a file in a READY sandbox, whole or not at all. The end of the caller's messages finishes it. */
export function writeFile(deps: RelayDeps): Handler<typeof SandboxService.method.writeFile> {
  return async (requests, call) => {
    const incoming = requests[Symbol.asyncIterator]();
    const start = requireStart(await incoming.next());
    const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
    const operation = { case: "writeFile", value: start } as const;
    const answers = relayCall<WriteFileRequest>(
      deps,
      call,
      session,
      { operation },
      {
        inputs: {
          incoming,
          convert: (message) => ({ message: { case: "writeFile", value: requireData(message) } }),
          last: () => ({ message: { case: "finished", value: true } }),
        },
        isLast: () => true,
      },
    );
    for await (const { answer } of answers) if (answer.case === "writeFile") return answer.value;
    throw new ServiceError("SUPERVISOR_LOST", "the supervisor was lost");
  };
}

function requireStart(first: IteratorResult<WriteFileRequest>): WriteFileRequest {
  if (first.done === true || first.value.part.case !== "start")
    throw new ServiceError("REQUEST_INVALID", "the first message must be a start", { field: "start" });
  const start = first.value.part.value;
  requireNoFaults([...findPathFaults(start.path, "start.path"), ...findModeFaults(start.mode, "start.mode")]);
  return first.value;
}

function requireData(request: WriteFileRequest): WriteFileRequest {
  if (request.part.case !== "data")
    throw new ServiceError("REQUEST_INVALID", "messages after the first must be data", { field: "data" });
  requireNoFaults(findDataFaults(request.part.value));
  return request;
}
