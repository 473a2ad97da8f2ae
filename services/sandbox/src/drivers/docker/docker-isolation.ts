import type { Isolation, IsolationGap } from "../sandbox-driver.ts";
import type { ContainerLimits } from "./container-options.ts";
import type { TrialFault, TrialReport } from "./trial-script.ts";

/** What an operator asks for at least: `container` shares the machine's kernel, `gvisor` has one of its own between. */
export type MinimumIsolation = "container" | "gvisor";

/** What an engine says of itself, as far as it is read here. */
export interface EngineInfo {
  readonly Runtimes?: Readonly<Record<string, unknown>> | null;
  readonly SecurityOptions?: readonly string[] | null;
  readonly OSType?: string;
}

type Refusal = NonNullable<Isolation["refusal"]>;

const gvisorRuntime = "runsc";

/** The runtimes for sandboxes, the first that starts: gVisor's where the engine offers it, then the engine's usual one where that is enough. */
export function chooseRuntimes(
  info: EngineInfo,
  minimum: MinimumIsolation,
): { readonly runtimes: readonly (string | undefined)[] } | { readonly refusal: Refusal } {
  const offered = Object.keys(info.Runtimes ?? {}).includes(gvisorRuntime);
  if (minimum === "container") return { runtimes: offered ? [gvisorRuntime, undefined] : [undefined] };
  if (offered) return { runtimes: [gvisorRuntime] };
  return {
    refusal: {
      fault: "the engine does not offer the runtime runsc, and driver.docker.min_isolation is gvisor",
      mend: "install gVisor, then `runsc install -- --host-uds=open` and restart the engine; or set driver.docker.min_isolation to container",
    },
  };
}

/** Why an engine cannot run sandboxes of ours, before anything is tried; undefined where it may. */
export function findEngineRefusal(info: EngineInfo, isRoot: boolean): Refusal | undefined {
  const options = (info.SecurityOptions ?? []).flatMap((option) => option.split(","));
  const has = (name: string): boolean => options.includes(`name=${name}`);
  if (info.OSType !== undefined && info.OSType !== "linux")
    return { fault: "the engine does not run Linux containers", mend: "use an engine on Linux" };
  if (!isRoot) return { fault: "the docker driver needs to run as root", mend: "start the suite as root" };
  if (has("rootless") || has("userns"))
    return {
      fault:
        "the engine gives containers other user ids than the machine's, so that a supervisor could not read its files",
      mend: "use an engine without userns-remap that runs as root",
    };
  return undefined;
}

/** What an engine of these facts gives, after that trial. */
export function describeIsolation(options: {
  readonly runtime: string | undefined;
  readonly limits: ContainerLimits;
  readonly trial: TrialReport | TrialFault;
  /** Of the machine: supervisors filter system calls on those that the filter knows. */
  readonly architecture: string;
}): Isolation {
  const { runtime, limits, trial } = options;
  const hasOwnFilter = options.architecture === "x64" || options.architecture === "arm64";
  const refused = (fault: string, mend: string): Isolation => ({ guarantees: [], gaps: [], refusal: { fault, mend } });
  if ("fault" in trial) return refused(`a trial container could not be run: ${trial.fault}`, "sandgate doctor");
  const [fault] = trial.faults;
  if (fault?.startsWith("connecting") === true && runtime === gvisorRuntime)
    return refused(
      "gVisor does not let containers connect to sockets of the machine",
      "add --host-uds=open to runsc's runtimeArgs and restart the engine",
    );
  if (fault !== undefined) return refused(`a trial container was not as it must be: ${fault}`, "sandgate doctor");
  const own = runtime === gvisorRuntime;
  if (trial.interfaces.some((name) => name !== "lo") && !own)
    return refused("a container without a network has a network interface", "use an engine that honours network none");
  if (!trial.noNewPrivileges)
    return refused("the engine does not honour no-new-privileges", "use another engine or runtime");

  const gaps: IsolationGap[] = [];
  const guarantees: string[] = [
    own
      ? "gVisor: a kernel of its own between the sandbox and the machine's"
      : "own pid, network, ipc, uts and mount namespaces",
    "no network but loopback; the egress proxy's socket is the only way out",
    "read-only image; of the machine's files only its own workspace and its own directories of sockets",
    "the workload as uid 65532 with every capability set empty and no new privileges",
  ];
  if (!own) gaps.push({ name: "own-kernel", mend: "install gVisor and register it with the engine as runsc" });
  if (trial.seccomp) guarantees.push("system calls are filtered by the engine's default profile");
  else if (!own && !hasOwnFilter)
    gaps.push({ name: "system-call-filter", mend: "use an engine with seccomp and its default profile" });
  if (hasOwnFilter)
    guarantees.push("system calls for administrators and sockets past the network namespace are refused");
  const proved = (name: string, holds: boolean, guarantee: string, mend: string): void => {
    if (holds) guarantees.push(guarantee);
    else gaps.push({ name, mend });
  };
  const controllers = "use a machine whose control groups have the memory, cpu and pids controllers";
  // gVisor enforces them by the control group of its own process, which a container does not see
  proved(
    "total-memory",
    own || trial.memoryBytes === limits.memoryBytes,
    `at most ${limits.memoryBytes} bytes of memory for all processes together`,
    controllers,
  );
  proved(
    "cpu",
    own || Math.abs((trial.cpus ?? Number.NaN) - limits.cpus) < 0.01,
    `at most ${limits.cpus} processors' time`,
    controllers,
  );
  proved("processes", own || (trial.processes ?? 0) > 0, "a limit for the number of processes", controllers);
  if (limits.workspaceBytes === undefined)
    gaps.push({
      name: "disk",
      mend: "set driver.docker.workspace_bytes, or put the state directory on a file system of its own",
    });
  else guarantees.push(`at most ${limits.workspaceBytes} bytes in /workspace, which is kept in memory`);
  guarantees.push(
    `at most ${limits.temporaryBytes} bytes in /tmp`,
    "limits for open files and file size of each process",
  );
  return { guarantees, gaps };
}
