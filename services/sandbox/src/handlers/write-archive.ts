import type { SandboxService, WriteArchiveRequest } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findDataFaults, findPathFaults } from "../domain/file-faults.ts";
import { type RelayDeps, relayCall, requireSession } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** SandboxService.WriteArchive: unpacks a tar archive into a directory of a READY sandbox. The end of the caller's messages finishes it. */
export function writeArchive(deps: RelayDeps): Handler<typeof SandboxService.method.writeArchive> {
  return async (requests, call) => {
    const incoming = requests[Symbol.asyncIterator]();
    const start = requireStart(await incoming.next());
    const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
    const operation = { case: "writeArchive", value: start } as const;
    const answers = relayCall<WriteArchiveRequest>(
      deps,
      call,
      session,
      { operation },
      {
        inputs: {
          incoming,
          convert: (message) => ({ message: { case: "writeArchive", value: requireData(message) } }),
          last: () => ({ message: { case: "finished", value: true } }),
        },
        isLast: () => true,
      },
    );
    for await (const { answer } of answers) if (answer.case === "writeArchive") return answer.value;
    throw new ServiceError("SUPERVISOR_LOST", "the supervisor was lost");
  };
}

function requireStart(first: IteratorResult<WriteArchiveRequest>): WriteArchiveRequest {
  if (first.done === true || first.value.part.case !== "start")
    throw new ServiceError("REQUEST_INVALID", "the first message must be a start", { field: "start" });
  const start = first.value.part.value;
  requireNoFaults([...findPathFaults(start.path, "start.path")]);
  return first.value;
}

function requireData(request: WriteArchiveRequest): WriteArchiveRequest {
  if (request.part.case !== "data")
    throw new ServiceError("REQUEST_INVALID", "messages after the first must be data", { field: "data" });
  requireNoFaults(findDataFaults(request.part.value));
  return request;
}
