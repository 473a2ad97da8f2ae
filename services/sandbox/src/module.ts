import { randomBytes } from "node:crypto";
import { type AuthService, RevocationKind } from "@sandgate/api/auth";
import type { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import type { AuditLog } from "@sandgate/audit";
import type { SubjectRegister, TrustState } from "@sandgate/identity";
import type { ConnectionSettings, Pool } from "@sandgate/postgres";
import { type Client, implement, ServiceError, type ServiceImplementation } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import type { Patience } from "./domain/next-step.ts";
import type { QuotaOf } from "./domain/quota.ts";
import { formatSandboxId, sandboxIdBytes } from "./domain/sandbox-id.ts";
import type { SandboxDriver } from "./drivers/sandbox-driver.ts";
import { ExecBroker } from "./exec/exec-broker.ts";
import { attachProcess } from "./handlers/attach-process.ts";
import { connectPort } from "./handlers/connect-port.ts";
import { connectSupervisor } from "./handlers/connect-supervisor.ts";
import { createSandbox } from "./handlers/create-sandbox.ts";
import { createSandboxTemplate } from "./handlers/create-sandbox-template.ts";
import { deleteSandbox } from "./handlers/delete-sandbox.ts";
import { deleteSandboxTemplate } from "./handlers/delete-sandbox-template.ts";
import { execSandbox } from "./handlers/exec-sandbox.ts";
import { getIsolation } from "./handlers/get-isolation.ts";
import { getQuota } from "./handlers/get-quota.ts";
import { getSandbox } from "./handlers/get-sandbox.ts";
import { getSandboxConfig } from "./handlers/get-sandbox-config.ts";
import { getSandboxTemplate } from "./handlers/get-sandbox-template.ts";
import { listAuditEvents } from "./handlers/list-audit-events.ts";
import { listFiles } from "./handlers/list-files.ts";
import { listProcesses } from "./handlers/list-processes.ts";
import { listSandboxTemplates } from "./handlers/list-sandbox-templates.ts";
import { listSandboxes } from "./handlers/list-sandboxes.ts";
import { PastProcesses } from "./handlers/past-processes.ts";
import { pushSandboxLogs } from "./handlers/push-sandbox-logs.ts";
import { readArchive } from "./handlers/read-archive.ts";
import { readFile } from "./handlers/read-file.ts";
import { readSandboxLogs } from "./handlers/read-sandbox-logs.ts";
import { relayExec } from "./handlers/relay-exec.ts";
import { reportProcessExit } from "./handlers/report-process-exit.ts";
import { signalProcess } from "./handlers/signal-process.ts";
import { startProcess } from "./handlers/start-process.ts";
import { startSandbox } from "./handlers/start-sandbox.ts";
import { stopSandbox } from "./handlers/stop-sandbox.ts";
import { updateSandbox } from "./handlers/update-sandbox.ts";
import { verifyAuditLog } from "./handlers/verify-audit-log.ts";
import { waitProcess } from "./handlers/wait-process.ts";
import { watchSandbox } from "./handlers/watch-sandbox.ts";
import { writeArchive } from "./handlers/write-archive.ts";
import { writeFile } from "./handlers/write-file.ts";
import { writeProcessInput } from "./handlers/write-process-input.ts";
import type { ControlSockets } from "./reconciler/actions.ts";
import { EnforcementView } from "./reconciler/enforcement-view.ts";
import { MachineView } from "./reconciler/machine-view.ts";
import { Reconciler } from "./reconciler/reconciler.ts";
import { SandboxChanges } from "./store/sandbox-changes.ts";
import type { SandboxLedger, SandboxStore } from "./store/sandbox-store.ts";
import type { TemplateStore } from "./store/template-store.ts";
import { SupervisorSessions } from "./supervisors/supervisor-sessions.ts";
import { WorkloadGrantsFeed } from "./supervisors/workload-grants.ts";

/** What the Sandbox service is made of. */
export interface SandboxModuleDeps {
  /** A PostgresSandboxStore, or something around one. */
  readonly store: SandboxStore & SandboxLedger;
  readonly templates: TemplateStore;
  /** Of the role and schema `sandbox`, whose migrations have run. */
  readonly pool: Pick<Pool, "check">;
  /** Where that database is, for the connection that notifications come on. */
  readonly connection: ConnectionSettings;
  /** In the schema `sandbox`. */
  readonly audit: Pick<AuditLog, "list" | "verify" | "record">;
  readonly auth: Pick<
    Client<typeof AuthService>,
    "registerSandbox" | "retireSandbox" | "endIncarnation" | "createBootstrapCredential"
  >;
  readonly policy: Pick<Client<typeof PolicyService>, "setPolicy" | "getPolicy" | "watchEnforcement" | "watchPolicies">;
  readonly subjects: Pick<SubjectRegister, "findSandbox">;
  readonly trust: Pick<TrustState, "onChange">;
  readonly driver: SandboxDriver;
  /** The sockets of sandboxes through which their supervisors reach this service. */
  readonly sockets: ControlSockets;
  readonly logger: Logger;
  readonly trustDomain: string;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** A UUID. */
  readonly newId: () => string;
  /** Random bytes, for sandbox ids and secrets; default: the system's. */
  readonly random?: (sizeBytes: number) => Uint8Array;
  /** How long an interrupted change may lie before it is gone on with. */
  readonly sweepIntervalMs: number;
  /** Whether the driver is to keep a spare sandbox. */
  readonly keepSpare?: boolean;
  /** What organizations may have; default: no limits. */
  readonly quotaOf?: QuotaOf;
  readonly timing?: Partial<SandboxTiming>;
}

/** How long things may take, in milliseconds. */
export interface SandboxTiming extends Patience {
  /** From one ping of a supervisor to the next. */
  readonly pingIntervalMs: number;
  /** A supervisor that was not heard for so long is lost. */
  readonly silenceMs: number;
  /** How long ExecSandbox waits for a supervisor. */
  readonly supervisorTimeoutMs: number;
  /** From SIGTERM to SIGKILL, when a sandbox is ended. */
  readonly graceMs: number;
  /** How long answers and DELETED sandboxes are kept. */
  readonly retentionMs: number;
}

/** How long they take unless a test says otherwise. */
export const usualTiming: SandboxTiming = {
  provisioningMs: 60_000,
  startingMs: 60_000,
  pingIntervalMs: 10_000,
  silenceMs: 30_000,
  supervisorTimeoutMs: 10_000,
  graceMs: 5_000,
  retentionMs: 7 * 24 * 3_600_000,
};

/** The Sandbox service, ready to be mounted. */
export interface SandboxModule {
  readonly services: readonly ServiceImplementation[];
  /** Opens the sockets of living sandboxes and begins to bring every sandbox to its desired phase. */
  start(): Promise<void>;
  /** Ends all streams with UNAVAILABLE, and what `start` began. Sandboxes live on. */
  stop(): Promise<void>;
  readonly checks: Readonly<Record<string, () => void | Promise<void>>>;
}

/** Builds the Sandbox service. Nothing runs before `start`. */
export function createSandboxModule(deps: SandboxModuleDeps): SandboxModule {
  const { store, templates, driver, policy, audit, logger, clock, trustDomain, newId, random = randomBytes } = deps;
  const { quotaOf = () => ({}) } = deps;
  const timing = { ...usualTiming, ...deps.timing };
  const changes = new SandboxChanges({ connection: deps.connection, logger });
  const sessions = new SupervisorSessions();
  const grants = new WorkloadGrantsFeed({ policy, sessions, logger });
  const following = new AbortController();
  let followed: Promise<void> | undefined;
  const broker = new ExecBroker({ newExecId: () => Buffer.from(random(16)).toString("base64url") });
  const relay = { ...timing, store, sessions, changes, clock, broker, audit, past: new PastProcesses({ driver }) };
  const newSandboxId = () => formatSandboxId(random(sandboxIdBytes));
  const reconciler = new Reconciler({
    ...timing,
    ledger: store,
    driver,
    machine: new MachineView({ driver }),
    auth: deps.auth,
    policy,
    enforcement: new EnforcementView({ policy, logger }),
    sockets: deps.sockets,
    sessions,
    subjects: deps.subjects,
    trust: deps.trust,
    clock,
    logger,
    spiffeId: `spiffe://${trustDomain}/service/sandbox`,
    sweepIntervalMs: deps.sweepIntervalMs,
    patience: timing,
  });

  let unfollow = (): void => {};

  return {
    services: [
      implement(SandboxService, {
        createSandbox: createSandbox({
          ...{ store, templates, driver, reconciler, quotaOf, trustDomain, clock, newId },
          newSandboxId: () => driver.takeSpare?.() ?? newSandboxId(),
        }),
        getSandbox: getSandbox({ store, trustDomain }),
        listSandboxes: listSandboxes({ store, trustDomain }),
        deleteSandbox: deleteSandbox({ store, reconciler, trustDomain, clock }),
        stopSandbox: stopSandbox({ store, reconciler, trustDomain, clock }),
        startSandbox: startSandbox({ store, reconciler, quotaOf, trustDomain, clock }),
        updateSandbox: updateSandbox({ store, trustDomain, clock }),
        watchSandbox: watchSandbox({ store, changes, trustDomain }),
        execSandbox: execSandbox(relay),
        startProcess: startProcess(relay),
        attachProcess: attachProcess(relay),
        writeProcessInput: writeProcessInput(relay),
        signalProcess: signalProcess(relay),
        waitProcess: waitProcess(relay),
        listProcesses: listProcesses(relay),
        readFile: readFile(relay),
        writeFile: writeFile(relay),
        listFiles: listFiles(relay),
        readArchive: readArchive(relay),
        writeArchive: writeArchive(relay),
        connectPort: connectPort(relay),
        readSandboxLogs: readSandboxLogs({ store, changes }),
        getSandboxConfig: getSandboxConfig({ store, policy }),
        connectSupervisor: connectSupervisor({ ...timing, store, sessions, reconciler, grants, clock }),
        relayExec: relayExec({ broker }),
        pushSandboxLogs: pushSandboxLogs({ store }),
        reportProcessExit: reportProcessExit({ store, reconciler, clock }),
        listAuditEvents: listAuditEvents({ audit }),
        verifyAuditLog: verifyAuditLog({ audit }),
        createSandboxTemplate: createSandboxTemplate({ templates, clock }),
        getSandboxTemplate: getSandboxTemplate({ templates }),
        listSandboxTemplates: listSandboxTemplates({ templates }),
        deleteSandboxTemplate: deleteSandboxTemplate({ templates, clock }),
        getQuota: getQuota({ store, quotaOf }),
        getIsolation: getIsolation({ driver }),
      }),
    ],
    async start() {
      await changes.start();
      await reconciler.start();
      followed = grants.follow(following.signal);
      unfollow = deps.trust.onChange(({ change }) => {
        // whose stream was opened with the key's token is cut; who has got such a token since must find out
        if (change.case === "revocation" && change.value.kind === RevocationKind.SIGNING_KEY)
          sessions.sendAll({ case: "checkSession", value: {} });
      });
      if (deps.keepSpare === true) driver.keepSpare?.(newSandboxId);
    },
    async stop() {
      unfollow();
      following.abort();
      await Promise.all([reconciler.stop(), followed]);
      sessions.closeAll(new ServiceError("UNAVAILABLE", "the service is stopping"));
      await changes.stop();
    },
    checks: {
      database: () => deps.pool.check(),
      sandboxes_swept: () => reconciler.check(),
    },
  };
}
