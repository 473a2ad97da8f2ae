import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type RelayExecRequest, RelayExecResponseSchema, type RelayFault } from "@sandgate/api/sandbox";
import { type AuditLog, AuditUnavailableError } from "@sandgate/audit";
import { type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Reason, ServiceError } from "@sandgate/rpc";
import { isOver } from "../domain/phase.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { Exec, ExecBroker } from "../exec/exec-broker.ts";
import type { SandboxChanges } from "../store/sandbox-changes.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import type { SupervisorSessions } from "../supervisors/supervisor-sessions.ts";
import { callerOf } from "./caller-of.ts";
import { type RelayedCall, type RelayedRecord, recordOfCall } from "./relayed-call.ts";
import { requireSandbox } from "./require-sandbox.ts";

/** What calls into a sandbox work with. */
export interface RelayDeps {
  readonly store: Pick<SandboxStore, "find" | "recordActivity">;
  readonly sessions: Pick<SupervisorSessions, "wait">;
  readonly changes: Pick<SandboxChanges, "subscribe">;
  readonly broker: ExecBroker;
  readonly clock: () => number;
  readonly audit: Pick<AuditLog, "record">;
  /** How long a supervisor may take to come back, and to open the relay. */
  readonly supervisorTimeoutMs: number;
}

/** What the caller says after his first message. */
export interface RelayedInputs<T> {
  readonly incoming: AsyncIterator<T>;
  /** Throws ServiceError for what is not in order, which ends the call. */
  readonly convert: (message: T) => MessageInitShape<typeof RelayExecResponseSchema>;
  /** Sent when the caller has no more to say. */
  readonly last?: () => MessageInitShape<typeof RelayExecResponseSchema> | undefined;
}

/** How a relayed call goes. */
export interface RelayOptions<T> {
  readonly inputs?: RelayedInputs<T>;
  readonly isLast: (message: RelayExecRequest) => boolean;
  /** What the caller gets when the supervisor is lost in the middle; default: SUPERVISOR_LOST. */
  readonly onLost?: () => RelayExecRequest;
}

/**
 * Has a sandbox's supervisor carry out a call, and answers what it says, up to the last message. When the caller leaves, the supervisor is
 * told. Throws what the supervisor refuses the call with, and SUPERVISOR_LOST.
 */
export async function* relayCall<T>(
  deps: RelayDeps,
  call: Call,
  session: SupervisorSession,
  request: RelayedCall,
  options: RelayOptions<T>,
): AsyncGenerator<RelayExecRequest> {
  const record = recordOfCall(request);
  if (record !== undefined) await keepAwake(deps, call, session);
  const exec = deps.broker.open(session.sandboxId, session.incarnation);
  const onAbort = () => exec.outputs.refuse();
  call.signal.addEventListener("abort", onAbort);
  let error: ServiceError | undefined = new ServiceError("CANCELLED", "the caller has gone away");
  try {
    session.send({ case: "openExec", value: { ...request, execId: exec.id } });
    await Promise.all([
      waitForRelay(exec, session, call.signal, deps.supervisorTimeoutMs),
      record === undefined ? undefined : recordCall(deps, call, record), // beside it, but durable before the caller hears of anything
    ]);
    if (options.inputs !== undefined) void forwardInputs(exec, options.inputs, call);
    for await (const message of exec.outputs.take()) {
      if (message.answer.case === "fault") {
        error = undefined;
        throw requireKnown(message.answer.value);
      }
      if (options.isLast(message)) error = undefined;
      yield message;
      if (error === undefined) return;
    }
    if (call.signal.aborted) return;
    if (options.onLost === undefined) throw new ServiceError("SUPERVISOR_LOST", "the supervisor was lost");
    yield options.onLost();
  } finally {
    call.signal.removeEventListener("abort", onAbort);
    deps.broker.close(exec, error);
  }
}

/** Puts a call on record. Throws UNAVAILABLE where that cannot be done: then nobody is told what came of it. */
async function recordCall(deps: RelayDeps, call: Call, record: RelayedRecord): Promise<void> {
  const { sandboxId, organizationId } = sandboxScopeOf(call);
  try {
    await deps.audit.record({ ...callerOf(call), ...record, sandboxId, organizationId });
  } catch (cause) {
    if (!(cause instanceof AuditUnavailableError)) throw cause;
    throw new ServiceError("UNAVAILABLE", "the audit log cannot be written", {}, { cause });
  }
}

/** Has the supervisor carry out a call with one answer, which `read` takes out of the message. */
export async function askSupervisor<T>(
  deps: RelayDeps,
  call: Call,
  operation: NonNullable<RelayedCall["operation"]>,
  read: (answer: RelayExecRequest["answer"]) => T | undefined,
): Promise<T> {
  const session = await requireSession(deps, sandboxScopeOf(call), call.signal);
  for await (const { answer } of relayCall(deps, call, session, { operation }, { isLast: () => true })) {
    const value = read(answer);
    if (value !== undefined) return value;
  }
  throw new ServiceError("SUPERVISOR_LOST", "the supervisor was lost");
}

/** The stream of a READY sandbox's supervisor. Throws SANDBOX_NOT_READY, and SUPERVISOR_LOST when it does not come in time. */
export async function requireSession(
  deps: RelayDeps,
  scope: SandboxScope,
  signal: AbortSignal,
): Promise<SupervisorSession> {
  const session = await findSession(deps, scope, signal);
  if (session !== undefined) return session;
  const { phase, waitingFor } = await requireSandbox(deps.store, scope);
  throw new ServiceError("SANDBOX_NOT_READY", "the sandbox is not ready", { phase, waiting_for: waitingFor.join(",") });
}

/** The same; undefined where the sandbox is over, so that there is no supervisor and will be none. */
export async function findSession(
  deps: RelayDeps,
  scope: SandboxScope,
  signal: AbortSignal,
): Promise<SupervisorSession | undefined> {
  using subscription = deps.changes.subscribe(scope.sandboxId, ["changed"]);
  const overdue = AbortSignal.timeout(deps.supervisorTimeoutMs);
  const found = new AbortController();
  const waiting = AbortSignal.any([signal, overdue, found.signal]);
  try {
    for (;;) {
      const record = await requireSandbox(deps.store, scope);
      if (isOver(record.phase)) return undefined;
      if (!isUsable(record))
        throw new ServiceError("SANDBOX_NOT_READY", "the sandbox is not ready", {
          phase: record.phase,
          waiting_for: record.waitingFor.join(","),
        });
      const session = await Promise.race([
        deps.sessions.wait(scope.sandboxId, waiting),
        subscription.next(waiting).then(() => undefined),
      ]);
      if (session?.incarnation === record.incarnation) return session;
      if (waiting.aborted || session !== undefined) break;
    }
  } catch (error) {
    if (signal.aborted || !overdue.aborted) throw error;
  } finally {
    found.abort();
  }
  throw new ServiceError("SUPERVISOR_LOST", "the supervisor is not connected");
}

/** What ends idle sandboxes must not come between a call and the supervisor's next report. */
async function keepAwake(deps: RelayDeps, call: Call, { incarnation }: SupervisorSession): Promise<void> {
  const scope = sandboxScopeOf(call);
  const { phase, spec } = await requireSandbox(deps.store, scope);
  if (spec.idleTimeoutMs === undefined) return;
  if (await deps.store.recordActivity(scope, { incarnation, nowMs: deps.clock() })) return;
  throw new ServiceError("SANDBOX_NOT_READY", "the sandbox is not ready", { phase, waiting_for: "" });
}

/** Who was READY is so again when its supervisor has come back, which is waited for. */
function isUsable({ phase, readyTimeMs, waitingFor }: SandboxRecord): boolean {
  return phase === "READY" || (phase === "STARTING" && readyTimeMs !== undefined && waitingFor.join() === "supervisor");
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
    throw new ServiceError("SUPERVISOR_LOST", "the supervisor did not take the call");
  }
}

/** Hands the caller's messages to the supervisor. Never throws. */
async function forwardInputs<T>(exec: Exec, inputs: RelayedInputs<T>, call: Call): Promise<void> {
  const give = (message: MessageInitShape<typeof RelayExecResponseSchema>): Promise<boolean> =>
    exec.inputs.give(create(RelayExecResponseSchema, message));
  try {
    for (;;) {
      const next = await inputs.incoming.next();
      if (next.done === true) break;
      if (!(await give(inputs.convert(next.value)))) return;
    }
    const last = inputs.last?.();
    if (last !== undefined) await give(last);
  } catch (error) {
    // what is wrong with a message ends the call; anything else is the end of the call already
    if (error instanceof ServiceError) call.end(error);
  }
}

/** What a call about the inside of a sandbox can be refused with by its supervisor. */
const faults: ReadonlySet<string> = new Set<Reason>([
  ...(["REQUEST_INVALID", "REQUEST_ID_REUSED", "LIMIT_REACHED", "PROCESS_NOT_FOUND"] as const),
  ...(["FILE_NOT_FOUND", "FILE_NOT_ACCESSIBLE", "PORT_NOT_OPEN"] as const),
]);

/** The supervisor's refusal; one that it has no business with is its own fault. */
function requireKnown({ reason, message, metadata }: RelayFault): ServiceError {
  if (!faults.has(reason)) return new ServiceError("SUPERVISOR_LOST", "the supervisor failed");
  const entries = Object.entries(metadata).slice(0, 8);
  return new ServiceError(
    reason as Reason, // one of the set
    plain(message),
    Object.fromEntries(entries.map(([name, value]) => [plain(name), plain(value)])),
  );
}

/** The supervisor stands beside hostile code: nothing but short, printable text of it goes on. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 300);
}
