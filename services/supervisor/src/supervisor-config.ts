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
  /** What stands between the supervisor and the workload. */
  readonly boundary: Boundary;
}

/**
 * `namespaces`: each process of the workload gets namespaces of its own, by bubblewrap. `user`: the driver has made the namespaces, a container's,
 * and the workload runs in them as another user without capabilities.
 */
export type Boundary =
  | { readonly kind: "namespaces" }
  | {
      readonly kind: "user";
      /** Of the workload. */
      readonly uid: number;
      readonly gid: number;
      /** Whether whoever made the container filters system calls, so that the probe must find that. */
      readonly filtered: boolean;
    };

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
    boundary: readBoundary(read("boundary", isRecordOrAbsent, undefined), faults),
  };
  if (faults.length > 0) throw new Error(`the supervisor's configuration is wrong at ${faults.join(", ")}`);
  return config;
}

function readBoundary(value: Record<string, unknown> | undefined, faults: string[]): Boundary {
  if (value === undefined) return { kind: "namespaces" };
  const { kind, uid, gid, filtered } = value;
  if (kind === "user" && isId(uid) && isId(gid) && typeof filtered === "boolean") return { kind, uid, gid, filtered };
  faults.push("boundary");
  return { kind: "namespaces" };
}

/** A user's or a group's that has no privilege. */
function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 0xffff_ffff;
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

function isRecordOrAbsent(value: unknown): value is Record<string, unknown> | undefined {
  return value === undefined || isRecord(value);
}

function isRecordOfTexts(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((entry) => typeof entry === "string");
}

function isRecordOfNumbers(value: unknown): value is Record<string, number> {
  return isRecord(value) && Object.values(value).every((entry) => Number.isSafeInteger(entry) && Number(entry) > 0);
}
