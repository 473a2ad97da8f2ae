import { fromBinary } from "@bufbuild/protobuf";
import type { AuthService } from "@sandgate/api/auth";
import { PolicySchema, type PolicyService } from "@sandgate/api/policy";
import { forwardUser } from "@sandgate/identity";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { Action } from "../domain/next-step.ts";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";
import { toSpecMessage } from "../handlers/sandbox-message.ts";
import type { SandboxLedger } from "../store/sandbox-store.ts";
import type { SupervisorSessions } from "../supervisors/supervisor-sessions.ts";
import type { MachineView } from "./machine-view.ts";
import { within } from "./step-fault.ts";

/** The sockets through which supervisors reach this service, one for each sandbox. */
export interface ControlSockets {
  /** Opens a sandbox's socket; its directory exists. Opening it again changes nothing. */
  open(sandboxId: string): Promise<void>;
  /** Closes it. Closing it again changes nothing. */
  close(sandboxId: string): Promise<void>;
}

/** What actions work with. */
export interface ActionDeps {
  readonly ledger: Pick<SandboxLedger, "getFirstPolicy">;
  readonly driver: SandboxDriver;
  readonly machine: MachineView;
  readonly auth: Pick<
    Client<typeof AuthService>,
    "registerSandbox" | "retireSandbox" | "endIncarnation" | "createBootstrapCredential"
  >;
  readonly policy: Pick<Client<typeof PolicyService>, "setPolicy">;
  readonly sockets: ControlSockets;
  readonly sessions: Pick<SupervisorSessions, "find">;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
}

/** What an action has found out and the row is to hold. */
export type Learned = Partial<Pick<SandboxRecord, "registered" | "policyRevision" | "isolationGaps">>;

/** Runs an action. Throws StepFault. `onPolicyStored` is called as soon as the first policy is stored. */
export function runAction(
  deps: ActionDeps,
  action: Action,
  row: SandboxRecord,
  onPolicyStored: () => void,
): Promise<Learned> {
  switch (action) {
    case "provision":
      return provision(deps, row);
    case "launch":
      return launch(deps, row, onPolicyStored);
    case "start-main":
      return startMain(deps, row);
    case "register":
      return register(deps, row);
    case "end":
      return stopWithout(endIncarnation(deps, row), deps, row);
    case "suspend":
      return suspend(deps, row);
    case "halt":
      return stopWithout(retire(deps, row), deps, row);
    case "destroy":
      return destroy(deps, row);
  }
}

async function provision(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  await within("provision", "its directories could not be made", () => deps.driver.prepare(row.id));
  deps.machine.notePrepared(row.id);
  return register(deps, row);
}

async function register(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  const { id, name, organizationId, ownerUserId, incarnation } = row;
  await within("provision", "it could not be registered", () =>
    deps.auth.registerSandbox({ sandboxId: id, name, organizationId, ownerUserId, incarnation }),
  );
  return { registered: true };
}

async function launch(deps: ActionDeps, row: SandboxRecord, onPolicyStored: () => void): Promise<Learned> {
  const [policy, start] = await Promise.allSettled([
    setFirstPolicy(deps, row).then((learned) => {
      onPolicyStored();
      return learned;
    }),
    startSupervisor(deps, row),
  ]);
  if (policy.status === "rejected" || start.status === "rejected") deps.machine.noteInterrupted(row.id);
  if (policy.status === "rejected") throw policy.reason;
  if (start.status === "rejected") throw start.reason;
  return { ...policy.value, ...start.value };
}

async function setFirstPolicy(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  if (row.policyRevision !== undefined) return {};
  const policy = fromBinary(PolicySchema, await deps.ledger.getFirstPolicy(row.id));
  const { revision } = await within("policy", "its first policy could not be stored", () =>
    deps.policy.setPolicy({ sandbox: row.id, policy, requestId: row.policyRequestId }, forwardUser(row.ownerUserId)),
  );
  return { policyRevision: revision?.revision ?? 0n };
}

async function startSupervisor(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  const { id: sandboxId, incarnation } = row;
  // a second credential would make the first worthless, which a running supervisor may be about to use
  if (await deps.machine.look(sandboxId, incarnation)) return {};
  const [{ token }, { gaps }] = await Promise.all([
    within("enrol", "it got no credential to enrol with", () =>
      deps.auth.createBootstrapCredential({ sandboxId, incarnation }),
    ),
    deps.driver.isolation(),
    within("provision", "its control socket could not be opened", () => deps.sockets.open(sandboxId)),
  ]);
  await within("start", "it could not be started", () =>
    deps.driver.start({ sandboxId, incarnation, name: row.name, spec: toSpecMessage(row.spec), bootstrapToken: token }),
  );
  deps.machine.noteStarted(sandboxId, incarnation);
  return { isolationGaps: gaps.map(({ name }) => name) };
}

async function startMain(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  const session = deps.sessions.find(row.id);
  if (session?.incarnation !== row.incarnation) return {};
  session.send({ case: "startMain", value: { spec: toSpecMessage(row.spec) } });
  session.mainCommanded = true;
  return {};
}

async function stop(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  await within("run", "its processes could not be ended", () =>
    deps.driver.stop({ sandboxId: row.id, graceMs: deps.graceMs }),
  );
  deps.machine.noteEnded(row.id);
  return {};
}

/** The identity goes first; but processes are ended also while Auth cannot be reached. */
async function stopWithout(identity: Promise<void>, deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  const [revoked] = await Promise.allSettled([identity]);
  await stop(deps, row);
  if (revoked.status === "rejected") throw revoked.reason;
  return {};
}

/** What reaches this service from its directory is closed, too: a sandbox may be stopped for weeks. */
async function suspend(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  await stopWithout(endIncarnation(deps, row), deps, row);
  await deps.sockets.close(row.id);
  return {};
}

async function endIncarnation(deps: ActionDeps, row: SandboxRecord): Promise<void> {
  if (!row.registered) return;
  await within("identity", "its identity could not be revoked", () =>
    deps.auth.endIncarnation({ sandboxId: row.id, incarnation: row.incarnation }),
  );
}

async function retire(deps: ActionDeps, row: SandboxRecord): Promise<void> {
  await within("identity", "its identity could not be revoked", async () => {
    try {
      await deps.auth.retireSandbox({ sandboxId: row.id });
    } catch (error) {
      if (!(error instanceof ServiceError && error.reason === "SANDBOX_NOT_FOUND")) throw error; // it never got there
    }
  });
}

async function destroy(deps: ActionDeps, row: SandboxRecord): Promise<Learned> {
  await deps.sockets.close(row.id);
  await within("run", "it could not be removed", () => deps.driver.destroy(row.id));
  deps.machine.noteEnded(row.id);
  return {};
}
