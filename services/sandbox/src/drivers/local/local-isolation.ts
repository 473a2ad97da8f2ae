import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, release } from "node:os";
import { promisify } from "node:util";
import type { Isolation, IsolationGap } from "../sandbox-driver.ts";

/** What the trial of a sandbox on this machine met. */
export type Trial = { readonly kind: "works" } | { readonly kind: "fails"; readonly output: string };

/** What is known of the machine. */
export interface MachineFacts {
  readonly bubblewrap: { readonly major: number; readonly minor: number } | undefined;
  /** Names of other programs that are needed and not there. */
  readonly missing: readonly string[];
  /** Kernel settings that forbid user namespaces, as `sysctl` would set them right. */
  readonly forbiddingSettings: readonly string[];
  readonly kernel: { readonly major: number; readonly minor: number };
  readonly separateUids: boolean;
  readonly architecture: string;
}

/** Looks at the machine. */
export async function readMachineFacts(separateUids: boolean): Promise<MachineFacts> {
  const version = await versionOf("bwrap");
  const needed = separateUids ? ["prlimit", "setsid", "setpriv"] : ["prlimit", "setsid"];
  const missing: string[] = [];
  for (const program of needed) if ((await versionOf(program)) === undefined) missing.push(program);
  return {
    bubblewrap: version === undefined ? undefined : parseVersion(version),
    missing,
    forbiddingSettings: forbiddingSettings((path) => {
      try {
        return readFileSync(path, "latin1").trim();
      } catch {
        return undefined; // this kernel has no such setting
      }
    }),
    kernel: parseVersion(release()),
    separateUids,
    architecture: arch(),
  };
}

/** The settings that keep an ordinary process from making a user namespace. */
export function forbiddingSettings(read: (path: string) => string | undefined): string[] {
  const settings: string[] = [];
  if (read("/proc/sys/kernel/unprivileged_userns_clone") === "0") settings.push("kernel.unprivileged_userns_clone=1");
  if (read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1")
    settings.push("kernel.apparmor_restrict_unprivileged_userns=0");
  if (read("/proc/sys/user/max_user_namespaces") === "0") settings.push("user.max_user_namespaces=10000");
  return settings;
}

/** Whether the kernel counts processes for each user namespace, so that the limit is the sandbox's own. */
export function countsProcessesPerSandbox(facts: Pick<MachineFacts, "kernel" | "separateUids">): boolean {
  return facts.separateUids || facts.kernel.major > 5 || (facts.kernel.major === 5 && facts.kernel.minor >= 14);
}

/** What a machine of these facts gives, after that trial. */
export function describeIsolation(facts: MachineFacts, trial: Trial): Isolation {
  const refusal = findRefusal(facts, trial);
  if (refusal !== undefined) return { guarantees: [], gaps: [], refusal };
  const gaps: IsolationGap[] = [
    { name: "total-memory", mend: "start the suite in a cgroup with memory.max" },
    { name: "cpu", mend: "start the suite in a cgroup with cpu.max" },
    { name: "disk", mend: "put the state directory on a file system of its own with a quota" },
  ];
  if (!facts.separateUids)
    gaps.push({ name: "separate-uid", mend: "run the suite as root: each sandbox gets a uid of its own" });
  if (!countsProcessesPerSandbox(facts))
    gaps.push({ name: "processes", mend: "use a kernel of 5.14 or later, or run the suite as root" });
  if (!disablesUserNamespaces(facts)) gaps.push({ name: "user-namespaces", mend: "install bubblewrap 0.8 or later" });
  if (!filtersSystemCalls(facts)) gaps.push({ name: "system-call-filter", mend: "use an x86-64 or arm64 machine" });
  return {
    guarantees: [
      "own user, pid, network, ipc, uts and mount namespaces; the workload in further ones below its supervisor",
      "no network but loopback; the egress proxy's socket is the only way out",
      "read-only system; of the machine's other files only its own workspace and its own /tmp",
      "no capabilities, no new privileges",
      "limits for the writable memory, open files and file size of each process",
      ...(countsProcessesPerSandbox(facts) ? ["a limit for the number of processes"] : []),
      ...(facts.separateUids ? ["a uid of its own for each sandbox"] : []),
      ...(disablesUserNamespaces(facts) ? ["no user namespaces of its own"] : []),
      ...(filtersSystemCalls(facts)
        ? ["system calls for administrators and sockets past the network namespace are refused"]
        : []),
    ],
    gaps,
  };
}

function findRefusal(facts: MachineFacts, trial: Trial): Isolation["refusal"] {
  if (facts.bubblewrap === undefined)
    return { fault: "bubblewrap is not installed", mend: "apt-get install bubblewrap" };
  if (facts.missing.length > 0)
    return {
      fault: `util-linux programs are missing: ${facts.missing.join(", ")}`,
      mend: "apt-get install util-linux",
    };
  if (trial.kind === "works") return undefined;
  if (facts.forbiddingSettings.length > 0)
    return {
      fault: "this machine forbids user namespaces to ordinary processes",
      mend: facts.forbiddingSettings.map((setting) => `sysctl -w ${setting}`).join(" && "),
    };
  if (/namespace|uid map/i.test(trial.output))
    return {
      fault: "this machine, or the container that this program runs in, forbids user namespaces",
      mend: "run outside of the container, or start it with a seccomp profile that allows unshare and mount",
    };
  return { fault: `a trial sandbox could not be started: ${trial.output.trim().slice(-300)}`, mend: "sandgate doctor" };
}

function disablesUserNamespaces({ bubblewrap }: MachineFacts): boolean {
  return bubblewrap !== undefined && (bubblewrap.major > 0 || bubblewrap.minor >= 8);
}

function filtersSystemCalls({ architecture }: MachineFacts): boolean {
  return architecture === "x64" || architecture === "arm64";
}

async function versionOf(program: string): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(program, ["--version"], { timeout: 5_000 })).stdout;
  } catch {
    return undefined;
  }
}

function parseVersion(text: string): { major: number; minor: number } {
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(text)?.slice(1) ?? []).map(Number);
  return { major, minor };
}
