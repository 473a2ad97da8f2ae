import type { ConnectPortRequest, SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findDataFaults } from "../domain/file-faults.ts";
import { type RelayDeps, relayCall, requireSession } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

const highestPort = 65_535;

/** SandboxService.ConnectPort: one connection to a port at a READY sandbox's loopback address. Each side closes its own half. */
export function connectPort(deps: RelayDeps): Handler<typeof SandboxService.method.connectPort> {
  return async function* (requests, call) {
    const incoming = requests[Symbol.asyncIterator]();
    const first = requirePort(await incoming.next());
    const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
    const operation = { case: "connectPort", value: first } as const;
    const answers = relayCall<ConnectPortRequest>(
      deps,
      call,
      session,
      { operation },
      {
        inputs: {
          incoming,
          convert: (message) => ({ message: { case: "connectPort", value: requireData(message) } }),
          last: () => ({ message: { case: "finished", value: true } }),
        },
        isLast: ({ answer }) => answer.case !== "connectPort" || answer.value.event.case === "closed",
      },
    );
    for await (const { answer } of answers) if (answer.case === "connectPort") yield answer.value;
  };
}

function requirePort(first: IteratorResult<ConnectPortRequest>): ConnectPortRequest {
  if (first.done === true || first.value.message.case !== "port")
    throw new ServiceError("REQUEST_INVALID", "the first message must name a port", { field: "port" });
  const port = first.value.message.value;
  requireNoFaults(port >= 1 && port <= highestPort ? [] : [{ field: "port", fault: "must be between 1 and 65535" }]);
  return first.value;
}

function requireData(request: ConnectPortRequest): ConnectPortRequest {
  if (request.message.case !== "data")
    throw new ServiceError("REQUEST_INVALID", "messages after the first must be data", { field: "data" });
  requireNoFaults(findDataFaults(request.message.value));
  return request;
}
