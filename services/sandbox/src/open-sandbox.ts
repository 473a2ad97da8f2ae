import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import type { AuthService } from "@sandgate/api/auth";
import type { PolicyService } from "@sandgate/api/policy";
import { AuditLog } from "@sandgate/audit";
import type { SandboxSockets, SubjectRegister, TrustState } from "@sandgate/identity";
import { type ConnectionSettings, openDatabase } from "@sandgate/postgres";
import type { Client } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import { DockerDriver } from "./drivers/docker/docker-driver.ts";
import { LocalDriver } from "./drivers/local/local-driver.ts";
import type { SandboxDriver } from "./drivers/sandbox-driver.ts";
import type { SupervisorSettings } from "./drivers/supervisor-config.ts";
import { createSandboxModule, type SandboxModule, type SandboxTiming } from "./module.ts";
import type { sandboxSettings } from "./sandbox-config.ts";
import { registerSandboxMetrics } from "./sandbox-metrics.ts";
import { PostgresSandboxStore } from "./store/postgres-sandbox-store.ts";
import { PostgresTemplateStore } from "./store/postgres-template-store.ts";
import type { SandboxLedger, SandboxStore } from "./store/sandbox-store.ts";

/** Sandbox with all that it stands on, not started yet. */
export interface OpenSandbox {
  readonly module: SandboxModule;
  readonly audit: AuditLog;
  /** Gives every sandbox the authorities of service certificates as they are now. */
  shareAuthorities(): Promise<void>;
  /** Ends what was opened here; sandboxes live on. The module must have been stopped. */
  close(): Promise<void>;
}

/** What a test puts around, or in the place of, the parts that touch the machine. */
export interface SandboxParts {
  readonly driver?: (driver: () => SandboxDriver) => SandboxDriver;
  readonly timing?: Partial<SandboxTiming>;
  readonly store?: (store: SandboxStore & SandboxLedger) => SandboxStore & SandboxLedger;
}

/** Makes the driver that the settings describe. */
export function createDriver(options: {
  readonly settings: z.output<z.ZodObject<typeof sandboxSettings>>;
  readonly controlDirectory: string;
  readonly serviceCaFile: string;
  readonly trustDomain: string;
  /** File names in a sandbox's control directory. */
  readonly sockets: SupervisorSettings["sockets"];
}): SandboxDriver {
  const { settings, trustDomain } = options;
  const { local, docker } = settings.driver;
  const common = {
    stateDirectory: settings.state_directory,
    runtimeDirectory: dirname(options.controlDirectory),
    settings: {
      serviceCaFile: options.serviceCaFile,
      authServerName: `auth.${trustDomain}`,
      policyServerName: `policy.${trustDomain}`,
      sandboxServerName: `sandbox.${trustDomain}`,
      sockets: options.sockets,
    },
  };
  if (docker !== undefined)
    return new DockerDriver({
      ...common,
      ...ofSupervisor(docker),
      socket: docker.socket,
      defaultImage: docker.default_image,
      allowedImages: docker.allowed_images,
      minimumIsolation: docker.min_isolation,
      limits: {
        memoryBytes: docker.memory_bytes,
        cpus: docker.cpus,
        temporaryBytes: docker.temporary_bytes,
        workspaceBytes: docker.workspace_bytes,
      },
      engineDeadlineMs: docker.engine_timeout_ms,
    });
  if (local === undefined) throw new TypeError("the settings name no driver"); // their schema lets none through
  return new LocalDriver({
    ...common,
    ...ofSupervisor(local),
    uidRange: { first: local.first_uid, count: local.uid_count },
  });
}

function ofSupervisor(settings: {
  readonly node_file: string;
  readonly supervisor_file: string;
  readonly terminal_file: string;
  readonly egress_uid?: number | undefined;
}) {
  return {
    files: { node: settings.node_file, supervisor: settings.supervisor_file, terminal: settings.terminal_file },
    ...(settings.egress_uid !== undefined && { egressUid: settings.egress_uid }),
  };
}

/** Opens Sandbox's database, takes the driver, and builds the module. */
export async function openSandbox(options: {
  readonly settings: z.output<z.ZodObject<typeof sandboxSettings>>;
  readonly connection: ConnectionSettings;
  readonly trustDomain: string;
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly auth: Client<typeof AuthService>;
  readonly policy: Client<typeof PolicyService>;
  readonly driver: () => SandboxDriver;
  readonly sockets: SandboxSockets;
  readonly parts?: SandboxParts | undefined;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly clock: () => number;
}): Promise<OpenSandbox> {
  const { settings, connection, logger, clock, parts } = options;
  const migrations = new URL("../migrations", import.meta.url);
  const pool = await openDatabase({ connection, service: "sandbox", migrations, logger });
  const audit = new AuditLog({ database: pool, clock });
  const store = new PostgresSandboxStore({ pool, audit });
  registerSandboxMetrics(options.registry, store);
  const driver = parts?.driver === undefined ? options.driver() : parts.driver(options.driver);
  const module = createSandboxModule({
    templates: new PostgresTemplateStore({ pool, audit }),
    store: parts?.store === undefined ? store : parts.store(store),
    pool,
    connection,
    audit,
    auth: options.auth,
    policy: options.policy,
    subjects: options.register,
    trust: options.trust,
    driver,
    sockets: options.sockets,
    logger,
    trustDomain: options.trustDomain,
    clock,
    newId: randomUUID,
    sweepIntervalMs: settings.sweep_interval_ms,
    quotaOf: (organizationId) => ({ ...settings.quotas.default, ...settings.quotas.organizations[organizationId] }),
    keepSpare: settings.driver.local?.keep_spare ?? false,
    ...(parts?.timing !== undefined && { timing: parts.timing }),
  });
  return {
    module,
    audit,
    shareAuthorities: async () => driver.shareAuthorities?.(),
    close: async () => {
      await driver.close();
      await store.close();
      await audit.close();
      await pool.close();
    },
  };
}
