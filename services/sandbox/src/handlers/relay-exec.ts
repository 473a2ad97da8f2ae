import type { RelayExecRequest, SandboxService } from "@sandgate/api/sandbox";
import { principalKey, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Handler, ServiceError } from "@sandgate/rpc";
import type { Exec, ExecBroker } from "../exec/exec-broker.ts";

/**
 * SandboxService.RelayExec: the supervisor's side of one call. Ends without an error after its last message, and with CANCELLED when the
 * caller has gone away, upon which the supervisor ends what was for him alone.
 */
export function relayExec(deps: { readonly broker: ExecBroker }): Handler<typeof SandboxService.method.relayExec> {
  return async function* (requests, call) {
    const scope = sandboxScopeOf(call);
    const incoming = requests[Symbol.asyncIterator]();
    const first = await incoming.next();
    if (first.done === true)
      throw new ServiceError("REQUEST_INVALID", "the first message names the call", { field: "exec_id" });
    const exec = deps.broker.accept(first.value.execId, scope.sandboxId, incarnationOf(call));
    const onAbort = () => exec.lose();
    call.signal.addEventListener("abort", onAbort);
    if (call.signal.aborted) onAbort();
    try {
      void relayOutputs(exec, first.value, incoming);
      yield* exec.inputs.take();
    } finally {
      call.signal.removeEventListener("abort", onAbort);
      exec.lose();
    }
  };
}

function incarnationOf(call: Call): bigint {
  const principal = call.get(principalKey);
  if (principal.kind !== "sandbox")
    throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "only sandboxes may call this method");
  return principal.incarnation;
}

/** Hands the supervisor's messages to the caller, up to the end of the call. Never throws. */
async function relayOutputs(
  exec: Exec,
  first: RelayExecRequest,
  incoming: AsyncIterator<RelayExecRequest>,
): Promise<void> {
  try {
    for (let message = first; ; ) {
      const says = message.output !== undefined || message.answer.case !== undefined;
      if (says && !(await exec.outputs.give(message))) return;
      const next = await incoming.next();
      if (next.done === true) return;
      message = next.value;
    }
  } catch {
    // the call has ended, which its handler is told by its signal
  } finally {
    exec.outputs.end();
  }
}
