import { create } from "@bufbuild/protobuf";
import {
  type ExecInput,
  type ExecOutput,
  type ExecSandboxRequest,
  type ExecStart,
  ExitReason,
  RelayExecRequestSchema,
  type SandboxService,
} from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findExecFaults } from "../domain/exec-faults.ts";
import { type RelayDeps, type RelayedInputs, relayCall, requireSession } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/**
 * SandboxService.ExecSandbox: runs a command in a READY sandbox with live streams. The last response says how it ended, also when
 * the supervisor is lost; when the caller leaves, the supervisor is told and ends the process.
 */
export function execSandbox(deps: RelayDeps): Handler<typeof SandboxService.method.execSandbox> {
  return async function* (requests, call) {
    const incoming = requests[Symbol.asyncIterator]();
    const start = requireStart(await incoming.next());
    const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
    const answers = relayCall(
      deps,
      call,
      session,
      { start },
      {
        inputs: inputsOf(incoming),
        isLast: ({ output }) => output === undefined || isLast(output),
        onLost: () => supervisorLost,
      },
    );
    for await (const { output } of answers) if (output !== undefined) yield { output };
  };
}

const supervisorLost = create(RelayExecRequestSchema, {
  output: { output: { case: "exit", value: { reason: ExitReason.SUPERVISOR_LOST } } },
});

/** Whether a process says nothing after this. */
function isLast({ output }: ExecOutput): boolean {
  return output.case === "exit" || output.case === "startFault";
}

function requireStart(first: IteratorResult<ExecSandboxRequest>): ExecStart {
  if (first.done === true || first.value.message.case !== "start")
    throw new ServiceError("REQUEST_INVALID", "the first message must be a start", { field: "start" });
  const start = first.value.message.value;
  requireNoFaults(findExecFaults(start));
  return start;
}

/** The end of the caller's stream closes standard input. */
function inputsOf(incoming: AsyncIterator<ExecSandboxRequest>): RelayedInputs<ExecSandboxRequest> {
  let stdinClosed = false;
  return {
    incoming,
    convert: (message) => {
      const input = requireInput(message);
      stdinClosed ||= input.input.case === "stdinClosed";
      return { input };
    },
    last: () => (stdinClosed ? undefined : { input: { input: { case: "stdinClosed", value: true } } }),
  };
}

function requireInput({ message }: ExecSandboxRequest): ExecInput {
  if (message.case === "input" && message.value.input.case !== undefined) return message.value;
  throw new ServiceError("REQUEST_INVALID", "messages after the first must be inputs", { field: "input" });
}
