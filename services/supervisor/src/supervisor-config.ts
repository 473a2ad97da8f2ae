/** What a driver writes for the supervisor: a JSON file in the bootstrap directory. It holds no secret. */
export interface SupervisorConfig {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** The host name of its processes. */
  readonly name: string;
  /** The file, in PEM, of whom to trust as a service; the driver replaces it when that changes. */
  readonly serviceCaFile: string;
  readonly authServerName: string;
  readonly policyServerName: string;
  readonly sandboxServerName: string;
  /** Each is unix:/path, host:port or [address]:port. On enrolAddress IssueSandboxToken and RejoinSandbox are, without a certificate. */
  readonly enrolAddress: string;
  readonly authAddress: string;
  readonly policyAddress: string;
  readonly sandboxAddress: string;
  readonly egressSocket: string;
  /** The file with the bootstrap token, removed after reading; undefined where the environment says where the credential is. */
  readonly tokenFile: string | undefined;
  readonly forwarderPort: number;
  /** Where the main process's output is kept until it is stored. */
  readonly logDirectory: string;
  readonly workload: WorkloadSettings;
  /** Paths of the machine that a workload must not reach. */
  readonly unreachablePaths: readonly string[];
}

/** What every process of the workload gets. */
export interface WorkloadSettings {
  /** Directories as the supervisor sees them; mounted as /workspace and /tmp. */
  readonly workspace: string;
  readonly temporary: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: WorkloadLimits;
}

/** Upper bounds; absent where the machine cannot enforce one. */
export interface WorkloadLimits {
  readonly processMemoryBytes?: number;
  readonly processes?: number;
  readonly openFiles?: number;
  readonly fileSizeBytes?: number;
}

/** Reads the configuration. Throws an Error that names every fault. */
export function parseSupervisorConfig(text: string): SupervisorConfig {
  const root: unknown = JSON.parse(text);
  const faults: string[] = [];
  const read = <T>(path: string, check: (value: unknown) => value is T, fallback: T): T => {
    const value = path.split(".").reduce<unknown>((node, key) => (isRecord(node) ? node[key] : undefined), root);
    if (check(value)) return value;
    faults.push(path);
    return fallback;
  };
  const text_ = (path: string): string => read(path, isText, "");
  const limits = read("workload.limits", isRecordOfNumbers, {});
  const config: SupervisorConfig = {
    sandboxId: text_("sandbox_id"),
    incarnation: BigInt(read("incarnation", isDigits, "0")),
    name: text_("name"),
    serviceCaFile: text_("service_ca_file"),
    authServerName: text_("auth_server_name"),
    policyServerName: text_("policy_server_name"),
    sandboxServerName: text_("sandbox_server_name"),
    enrolAddress: read("enrol_address", isAddress, ""),
    authAddress: read("auth_address", isAddress, ""),
    policyAddress: read("policy_address", isAddress, ""),
    sandboxAddress: read("sandbox_address", isAddress, ""),
    egressSocket: text_("egress_socket"),
    tokenFile: read("token_file", isTextOrAbsent, undefined),
    forwarderPort: read("forwarder_port", isPort, 0),
    logDirectory: text_("log_directory"),
    workload: {
      workspace: text_("workload.workspace"),
      temporary: text_("workload.temporary"),
      environment: read("workload.environment", isRecordOfTexts, {}),
      limits: {
        ...(limits.process_memory_bytes === undefined ? {} : { processMemoryBytes: limits.process_memory_bytes }),
        ...(limits.processes === undefined ? {} : { processes: limits.processes }),
        ...(limits.open_files === undefined ? {} : { openFiles: limits.open_files }),
        ...(limits.file_size_bytes === undefined ? {} : { fileSizeBytes: limits.file_size_bytes }),
      },
    },
    unreachablePaths: read("unreachable_paths", isTexts, []),
  };
  if (faults.length > 0) throw new Error(`the supervisor's configuration is wrong at ${faults.join(", ")}`);
  return config;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || isText(value);
}

function isAddress(value: unknown): value is string {
  return isText(value) && /^(unix:\/.+|(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})$/.test(value);
}

function isDigits(value: unknown): value is string {
  return typeof value === "string" && /^[0-9]{1,18}$/.test(value);
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65_535;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isRecordOfTexts(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((entry) => typeof entry === "string");
}

function isRecordOfNumbers(value: unknown): value is Record<string, number> {
  return isRecord(value) && Object.values(value).every((entry) => Number.isSafeInteger(entry) && Number(entry) > 0);
}
