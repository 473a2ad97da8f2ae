import type { SandboxStart } from "../sandbox-driver.ts";
import { inside } from "./outer-sandbox.ts";

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
}): string {
  const { start, settings } = options;
  const { limits } = start.spec;
  const orDefault = (value: bigint | number | undefined, fallback: number): number =>
    value === undefined || Number(value) <= 0 ? fallback : Number(value);
  return JSON.stringify({
    sandbox_id: start.sandboxId,
    incarnation: String(start.incarnation),
    name: start.name,
    service_ca_file: `${inside.control}/${serviceCaName}`,
    auth_server_name: settings.authServerName,
    policy_server_name: settings.policyServerName,
    sandbox_server_name: settings.sandboxServerName,
    enrol_address: `unix:${inside.control}/${settings.sockets.enrol}`,
    auth_address: `unix:${inside.control}/${settings.sockets.auth}`,
    policy_address: `unix:${inside.control}/${settings.sockets.policy}`,
    sandbox_address: `unix:${inside.control}/${settings.sockets.sandbox}`,
    egress_socket: `${inside.egress}/egress.sock`,
    token_file: `${inside.bootstrap}/token`,
    forwarder_port: 3128,
    log_directory: inside.log,
    workload: {
      workspace: inside.workspace,
      temporary: inside.temporary,
      environment: start.spec.environment,
      limits: {
        process_memory_bytes: orDefault(limits?.processMemoryBytes, 4 * 1024 ** 3),
        ...(options.limitProcesses ? { processes: orDefault(limits?.processes, 256) + reservedProcesses } : {}),
        open_files: orDefault(limits?.openFiles, 4_096),
        file_size_bytes: orDefault(limits?.fileSizeBytes, 1024 ** 3),
      },
    },
    unreachable_paths: options.unreachablePaths,
  });
}
