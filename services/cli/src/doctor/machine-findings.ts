import { existsSync, readFileSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { dirname } from "node:path";
import { CommandFailure } from "../command-failure.ts";
import { formatSize } from "../quantities.ts";
import { locateProgram } from "../suite/programs.ts";
import type { SuiteDriver } from "../suite/suite-file.ts";
import type { Finding } from "./finding.ts";
import { runProgram } from "./run-program.ts";

const leastNodeMajor = 24;
const leastKernel = [5, 10] as const;
const leastDiskBytes = 512 * 1024 * 1024;

/** What this machine can give, tried rather than assumed. Needs no suite. */
export function machineFindings(options: {
  readonly userId: number;
  readonly state: string;
  /** What the suite's sandboxes run on. */
  readonly driver: SuiteDriver["kind"];
}): readonly Finding[] {
  return [
    nodeFinding(),
    kernelFinding(),
    ...(options.driver === "local" ? localDriverFindings(options.userId) : []),
    ...(options.userId === 0 ? [programFinding("setpriv")] : []),
    programFinding("flock"),
    diskFinding(options.state),
    programsFinding(),
  ];
}

function localDriverFindings(userId: number): readonly Finding[] {
  const bubblewrap = bubblewrapFinding();
  return bubblewrap.level === "fail" ? [bubblewrap] : [bubblewrap, namespaceFinding(userId)];
}

function nodeFinding(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  return major >= leastNodeMajor
    ? { name: "node", level: "ok", message: `Node ${process.versions.node}` }
    : {
        name: "node",
        level: "fail",
        message: `Node ${process.versions.node} is too old`,
        mend: `run \`npm ci\`, which brings Node ${leastNodeMajor}, and start the command as \`npx sandgate\``,
      };
}

function kernelFinding(): Finding {
  const version = release();
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > leastKernel[0] || (major === leastKernel[0] && minor >= leastKernel[1]);
  return enough
    ? { name: "kernel", level: "ok", message: `Linux ${version}` }
    : {
        name: "kernel",
        level: "warn",
        message: `Linux ${version} is older than what sandboxes are tested on`,
        mend: `use Linux ${leastKernel.join(".")} or newer`,
      };
}

function bubblewrapFinding(): Finding {
  const { missing, stdout } = runProgram("bwrap", ["--version"]);
  return missing
    ? {
        name: "bubblewrap",
        level: "fail",
        message: "bubblewrap is not installed: the local driver cannot make sandboxes without it",
        mend: "sudo apt-get install bubblewrap",
      }
    : { name: "bubblewrap", level: "ok", message: stdout.trim() };
}

/** Makes the namespaces of a sandbox, one below the other as sandboxes have them. */
function namespaceFinding(userId: number): Finding {
  const drop =
    userId === 0 ? ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs", "--"] : [];
  const outer = ["bwrap", "--unshare-all", "--die-with-parent", "--dev-bind", "/", "/", "--proc", "/proc"];
  const inner = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"];
  const [command = "", ...args] = [...drop, ...outer, ...inner];
  const { exitCode, stderr } = runProgram(command, args);
  if (exitCode === 0)
    return {
      name: "namespaces",
      level: "ok",
      message: "user, process, mount, network, IPC and host name namespaces can be made, and nested",
    };
  return {
    name: "namespaces",
    level: "fail",
    message: `namespaces cannot be made: ${stderr.trim().split("\n")[0] ?? "bwrap failed"}`,
    mend: namespaceMend(),
  };
}

function namespaceMend(): string {
  if (readSetting("/proc/sys/kernel/unprivileged_userns_clone") === "0")
    return "sudo sysctl kernel.unprivileged_userns_clone=1";
  if (readSetting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1")
    return "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that lets bwrap make them";
  if (readSetting("/proc/sys/user/max_user_namespaces") === "0") return "sudo sysctl user.max_user_namespaces=15000";
  return "in a container: run it with user namespaces allowed (seccomp and AppArmor unconfined); else ask whoever runs this machine";
}

function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

function programFinding(name: string): Finding {
  return runProgram(name, ["--version"]).missing
    ? { name, level: "fail", message: `${name} is not installed`, mend: "sudo apt-get install util-linux" }
    : { name, level: "ok", message: `${name} is installed` };
}

function diskFinding(state: string): Finding {
  let folder = state;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  return free >= leastDiskBytes
    ? { name: "disk", level: "ok", message: `${formatSize(free)} free for ${state}` }
    : {
        name: "disk",
        level: "warn",
        message: `only ${formatSize(free)} free for ${state}`,
        mend: `free ${formatSize(leastDiskBytes)}, or name another place with --directory`,
      };
}

function programsFinding(): Finding {
  try {
    for (const name of ["all-in-one", "egress-proxy", "supervisor"] as const) locateProgram(name);
    return { name: "programs", level: "ok", message: "the suite's programs are built" };
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    const { message, mend } = error.report;
    return { name: "programs", level: "fail", message, ...(mend === undefined ? {} : { mend }) };
  }
}
