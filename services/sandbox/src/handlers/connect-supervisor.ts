import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type {
  ConfinementReport,
  ConnectSupervisorRequest,
  SandboxService,
  SupervisorHello,
} from "@sandgate/api/sandbox";
import { principalKey, type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Handler, ServiceError } from "@sandgate/rpc";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { SupervisorSession } from "../supervisors/supervisor-session.ts";
import type { SupervisorSessions } from "../supervisors/supervisor-sessions.ts";
import { callerOf } from "./caller-of.ts";

/** What the handler of ConnectSupervisor works with. */
export interface ConnectSupervisorDeps {
  readonly store: Pick<SandboxStore, "recordSupervisor" | "recordConfinement">;
  readonly sessions: SupervisorSessions;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly grants: { tell(session: SupervisorSession): void };
  readonly clock: () => number;
  readonly pingIntervalMs: number;
  /** A supervisor that was not heard for so long is lost. */
  readonly silenceMs: number;
}

/**
 * SandboxService.ConnectSupervisor: the one stream of a sandbox's supervisor. Ends when the supervisor goes away or falls silent,
 * when a newer stream takes its place, and when its identity is revoked.
 */
export function connectSupervisor(
  deps: ConnectSupervisorDeps,
): Handler<typeof SandboxService.method.connectSupervisor> {
  return async function* (requests, call) {
    const scope = sandboxScopeOf(call);
    const incoming = requests[Symbol.asyncIterator]();
    const hello = requireHello(await incoming.next());
    const { incarnation } = hello;
    requireOwnIncarnation(hello, call);
    const nowMs = deps.clock();
    const activeMs = lastActive(hello.idle, nowMs);
    const record = await deps.store.recordSupervisor(scope, { incarnation, activeMs, nowMs });
    if (record === undefined) throw new ServiceError("SANDBOX_CHANGED", "the sandbox has no such incarnation");

    const session = new SupervisorSession({ sandboxId: scope.sandboxId, incarnation, activeMs, nowMs });
    const onAbort = () => session.close();
    call.signal.addEventListener("abort", onAbort);
    const pinging = setInterval(() => ping(deps, session), deps.pingIntervalMs);
    // not in `finally`: a supervisor that reads nothing holds the stream up in `yield`
    session.closed.addEventListener("abort", () => {
      clearInterval(pinging);
      call.signal.removeEventListener("abort", onAbort);
      deps.sessions.remove(session);
      deps.reconciler.poke(scope.sandboxId);
      call.end(session.closed.reason);
    });
    try {
      if (call.signal.aborted) session.close();
      else {
        deps.sessions.open(session);
        deps.grants.tell(session);
      }
      deps.reconciler.poke(scope.sandboxId);
      void readStatus(deps, session, scope, call, incoming);
      for await (const command of session.commands()) yield { command };
      throw session.closed.reason;
    } finally {
      session.close();
    }
  };
}

function requireHello(first: IteratorResult<ConnectSupervisorRequest>): SupervisorHello {
  if (first.done !== true && first.value.message.case === "hello") return first.value.message.value;
  throw new ServiceError("REQUEST_INVALID", "the first message must be a hello", { field: "hello" });
}

function requireOwnIncarnation(hello: SupervisorHello, call: Call): void {
  const principal = call.get(principalKey);
  if (principal.kind === "sandbox" && principal.incarnation !== hello.incarnation)
    throw new ServiceError("SANDBOX_CHANGED", "the sandbox has no such incarnation");
}

/** When a sandbox was last active, by what its supervisor says. */
function lastActive(idle: Duration | undefined, nowMs: number): number {
  return idle === undefined ? nowMs : nowMs - Math.min(Math.max(durationMs(idle), 0), nowMs);
}

function ping(deps: ConnectSupervisorDeps, session: SupervisorSession): void {
  if (session.closed.aborted) return;
  if (deps.clock() - session.heardMs > deps.silenceMs)
    session.close(new ServiceError("SUPERVISOR_LOST", "the supervisor does not answer"));
  else session.send({ case: "ping", value: {} });
}

/** Takes in what the supervisor tells until the session is over; what is wrong with it ends the session. Never throws. */
async function readStatus(
  deps: ConnectSupervisorDeps,
  session: SupervisorSession,
  scope: SandboxScope,
  call: Call,
  incoming: AsyncIterator<ConnectSupervisorRequest>,
): Promise<void> {
  const over = new Promise<undefined>((resolve) => {
    session.closed.addEventListener("abort", () => resolve(undefined));
    if (session.closed.aborted) resolve(undefined);
  });
  try {
    for (;;) {
      const next = await Promise.race([incoming.next(), over]);
      if (next === undefined || next.done === true) return session.close();
      session.heardMs = deps.clock();
      const { message } = next.value;
      switch (message.case) {
        case "confinement":
          await recordConfinement(deps, session, scope, call, message.value);
          break;
        case "pong":
          session.activeMs = lastActive(message.value.idle, session.heardMs);
          break;
        case "hello":
        case undefined:
          throw new ServiceError("REQUEST_INVALID", "only the first message is a hello", { field: "hello" });
      }
    }
  } catch (error) {
    session.close(
      error instanceof ServiceError ? error : new ServiceError("INTERNAL", "internal error", {}, { cause: error }),
    );
  }
}

async function recordConfinement(
  deps: ConnectSupervisorDeps,
  session: SupervisorSession,
  scope: SandboxScope,
  call: Call,
  report: ConfinementReport,
): Promise<void> {
  const broken = report.checks.filter((check) => !check.confined).map((check) => check.name);
  // a report without checks proves nothing
  const proved = report.checks.length > 0 && broken.length === 0;
  await deps.store.recordConfinement(scope, {
    incarnation: session.incarnation,
    confinement: proved ? "proved" : "broken",
    event: {
      ...callerOf(call),
      action: proved ? "sandbox.confinement_proved" : "sandbox.confinement_broken",
      details: { checks: report.checks.map((check) => check.name).join(","), broken: broken.join(",") },
    },
    nowMs: deps.clock(),
  });
  deps.reconciler.poke(scope.sandboxId);
}
