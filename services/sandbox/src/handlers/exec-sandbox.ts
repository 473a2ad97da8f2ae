import { create } from "@bufbuild/protobuf";
import {
  type ExecInput,
  ExecInputSchema,
  ExecOutputSchema,
  type ExecSandboxRequest,
  type ExecStart,
  ExitReason,
  type SandboxService,
} from "@sandgate/api/sandbox";
import { type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Handler, ServiceError } from "@sandgate/rpc";
import { findExecFaults } from "../domain/exec-faults.ts";
import type { Exec, ExecBroker } from "../exec/exec-broker.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import type { SupervisorSessions } from "../supervisors/supervisor-sessions.ts";
import { isLast } from "./relay-exec.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireSandbox } from "./require-sandbox.ts";

/** What the handler of ExecSandbox works with. */
export interface ExecSandboxDeps {
  readonly store: Pick<SandboxStore, "find" | "recordActivity">;
  readonly sessions: Pick<SupervisorSessions, "wait">;
  readonly broker: ExecBroker;
  readonly clock: () => number;
  /** How long a supervisor may take to come back, and to open the relay. */
  readonly supervisorTimeoutMs: number;
}

/**
 * SandboxService.ExecSandbox: runs a command in a READY sandbox with live streams. The last response says how it ended, also when
 * the supervisor is lost; when the caller leaves, the supervisor is told and ends the process.
 */
export function execSandbox(deps: ExecSandboxDeps): Handler<typeof SandboxService.method.execSandbox> {
  return async function* (requests, call) {
    const incoming = requests[Symbol.asyncIterator]();
    const start = requireStart(await incoming.next());
    const session = await requireSupervisor(deps, sandboxScopeOf(call), call.signal);
    const exec = deps.broker.open(session.sandboxId, session.incarnation);
    const onAbort = () => exec.outputs.refuse();
    call.signal.addEventListener("abort", onAbort);
    let error: ServiceError | undefined = new ServiceError("CANCELLED", "the caller has gone away");
    try {
      session.send({ case: "openExec", value: { execId: exec.id, start } });
      await waitForRelay(exec, session, call.signal, deps.supervisorTimeoutMs);
      void forwardInputs(exec, incoming, call);
      for await (const output of exec.outputs.take()) {
        if (isLast(output)) error = undefined;
        yield { output };
        if (error === undefined) return;
      }
      if (!call.signal.aborted) yield { output: supervisorLost };
    } finally {
      call.signal.removeEventListener("abort", onAbort);
      deps.broker.close(exec, error);
    }
  };
}

const supervisorLost = create(ExecOutputSchema, {
  output: { case: "exit", value: { reason: ExitReason.SUPERVISOR_LOST } },
});

function requireStart(first: IteratorResult<ExecSandboxRequest>): ExecStart {
  if (first.done === true || first.value.message.case !== "start")
    throw new ServiceError("REQUEST_INVALID", "the first message must be a start", { field: "start" });
  const start = first.value.message.value;
  requireNoFaults(findExecFaults(start));
  return start;
}

async function requireSupervisor(
  deps: ExecSandboxDeps,
  scope: SandboxScope,
  signal: AbortSignal,
): Promise<SupervisorSession> {
  const { phase, waitingFor, incarnation, spec } = await requireSandbox(deps.store, scope);
  const isIdling = phase === "READY" && spec.idleTimeoutMs !== undefined;
  // what ends idle sandboxes must not come between this and the supervisor's next report
  const isKept = !isIdling || (await deps.store.recordActivity(scope, { incarnation, nowMs: deps.clock() }));
  if (phase !== "READY" || !isKept)
    throw new ServiceError("SANDBOX_NOT_READY", "the sandbox is not ready", {
      phase,
      waiting_for: waitingFor.join(","),
    });
  const overdue = AbortSignal.timeout(deps.supervisorTimeoutMs);
  try {
    const session = await deps.sessions.wait(scope.sandboxId, AbortSignal.any([signal, overdue]));
    if (session.incarnation === incarnation) return session;
  } catch (error) {
    if (!overdue.aborted) throw error;
  }
  throw new ServiceError("SUPERVISOR_LOST", "the supervisor is not connected");
}

async function waitForRelay(
  exec: Exec,
  session: SupervisorSession,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<void> {
  const overdue = AbortSignal.timeout(timeoutMs);
  try {
    await exec.accepted(AbortSignal.any([signal, session.closed, overdue]));
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ServiceError("SUPERVISOR_LOST", "the supervisor did not start the process");
  }
}

/** Hands the caller's messages to the supervisor. The end of the caller's stream closes standard input. Never throws. */
async function forwardInputs(exec: Exec, incoming: AsyncIterator<ExecSandboxRequest>, call: Call): Promise<void> {
  try {
    let stdinClosed = false;
    for (;;) {
      const next = await incoming.next();
      if (next.done === true) break;
      const input = requireInput(next.value);
      stdinClosed ||= input.input.case === "stdinClosed";
      if (!(await exec.inputs.give(input))) return;
    }
    if (!stdinClosed) await exec.inputs.give(create(ExecInputSchema, { input: { case: "stdinClosed", value: true } }));
  } catch (error) {
    // what is wrong with a message ends the call; anything else is the end of the call already
    if (error instanceof ServiceError) call.end(error);
  }
}

function requireInput({ message }: ExecSandboxRequest): ExecInput {
  if (message.case === "input" && message.value.input.case !== undefined) return message.value;
  throw new ServiceError("REQUEST_INVALID", "messages after the first must be inputs", { field: "input" });
}
