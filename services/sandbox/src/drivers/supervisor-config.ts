import type { SandboxStart } from "./sandbox-driver.ts";

/** Where the directories that a sandbox has of its own are in the supervisor's view. */
export const insideDirectories = {
  control: "/run/sandgate/control",
  egress: "/run/sandgate/egress",
  bootstrap: "/run/sandgate/bootstrap",
  log: "/run/sandgate/log",
} as const;

/** What is the same for all sandboxes of a driver. */
export interface SupervisorSettings {
  /** PEM: the authorities of service certificates, on this machine. Sandboxes have copies that follow it. */
  readonly serviceCaFile: string;
  readonly authServerName: string;
  readonly policyServerName: string;
  readonly sandboxServerName: string;
  /** File names in the sandbox's control directory; the last three may be one. */
  readonly sockets: {
    readonly enrol: string;
    readonly auth: string;
    readonly policy: string;
    readonly sandbox: string;
  };
}

/** The copy's name in a sandbox's control directory. */
export const serviceCaName = "service-ca.pem";

/** Beside the limit for the workload: the supervisor's threads and the sandbox programs are counted with it. */
const reservedProcesses = 48;

/** The configuration file of one supervisor (JSON). It holds no secret. */
export function supervisorConfig(options: {
  start: Omit<SandboxStart, "bootstrapToken">;
  settings: SupervisorSettings;
  /** Whether the number of processes can be limited for this sandbox alone. */
  limitProcesses: boolean;
  unreachablePaths: readonly string[];
  /** The workload's directories in the supervisor's view. */
  workspace: string;
  temporary: string;
  /** Beside the sandbox's own variables, which go before them. */
  environment?: Readonly<Record<string, string>>;
  /** Set where the workload is another user in the supervisor's own namespaces. */
  boundary?: { readonly kind: "user"; readonly uid: number; readonly gid: number; readonly filtered: boolean };
}): string {
  const { start, settings, boundary } = options;
  const { limits } = start.spec;
  const orDefault = (value: bigint | number | undefined, fallback: number): number =>
    value === undefined || Number(value) <= 0 ? fallback : Number(value);
  return JSON.stringify({
    sandbox_id: start.sandboxId,
    incarnation: String(start.incarnation),
    name: start.name,
    service_ca_file: `${insideDirectories.control}/${serviceCaName}`,
    auth_server_name: settings.authServerName,
    policy_server_name: settings.policyServerName,
    sandbox_server_name: settings.sandboxServerName,
    enrol_address: `unix:${insideDirectories.control}/${settings.sockets.enrol}`,
    auth_address: `unix:${insideDirectories.control}/${settings.sockets.auth}`,
    policy_address: `unix:${insideDirectories.control}/${settings.sockets.policy}`,
    sandbox_address: `unix:${insideDirectories.control}/${settings.sockets.sandbox}`,
    egress_socket: `${insideDirectories.egress}/egress.sock`,
    token_file: `${insideDirectories.bootstrap}/token`,
    forwarder_port: 3128,
    log_directory: insideDirectories.log,
    workload: {
      workspace: options.workspace,
      temporary: options.temporary,
      environment: { ...options.environment, ...start.spec.environment },
      limits: {
        process_memory_bytes: orDefault(limits?.processMemoryBytes, 4 * 1024 ** 3),
        ...(options.limitProcesses ? { processes: orDefault(limits?.processes, 256) + reservedProcesses } : {}),
        open_files: orDefault(limits?.openFiles, 4_096),
        file_size_bytes: orDefault(limits?.fileSizeBytes, 1024 ** 3),
      },
    },
    unreachable_paths: options.unreachablePaths,
    ...(boundary !== undefined && { boundary }),
  });
}
