/** What a trial container found about itself. */
export interface TrialReport {
  /** By name: what could not be done that a supervisor must do. */
  readonly faults: readonly string[];
  readonly capabilities: string;
  readonly noNewPrivileges: boolean;
  readonly seccomp: boolean;
  readonly interfaces: readonly string[];
  /** As the control group says it; undefined where it says nothing. */
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  readonly cpus: number | undefined;
}

/** Why a trial container gave no report. */
export interface TrialFault {
  readonly fault: string;
  /** Set when the engine could not start it. */
  readonly notStarted?: true;
}

/**
 * What runs in the place of a supervisor in a trial container, as the same user with the same mounts, and prints a TrialReport. CommonJS, passed as
 * text; it is stringified, so nothing outside of it exists.
 */
export const trialScript: string = `(${(
  () => {
    const fs = process.getBuiltinModule("node:fs");
    const net = process.getBuiltinModule("node:net");
    const faults: string[] = [];
    const attempt = (name: string, act: () => void): void => {
      try {
        act();
      } catch (error) {
        faults.push(`${name}: ${String((error as { code?: unknown }).code ?? error)}`);
      }
    };
    const number = (path: string, pattern: RegExp): number | undefined => {
      try {
        const text = pattern.exec(fs.readFileSync(path, "utf8"))?.[1];
        return text === undefined ? undefined : Number(text);
      } catch {
        return undefined; // the other version of control groups
      }
    };
    const status = fs.readFileSync("/proc/self/status", "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
    const group = "/sys/fs/cgroup";
    const quota = number(`${group}/cpu/cpu.cfs_quota_us`, /^(\d+)$/m) ?? number(`${group}/cpu.max`, /^(\d+) /);
    const period = number(`${group}/cpu/cpu.cfs_period_us`, /^(\d+)$/m) ?? number(`${group}/cpu.max`, /^\d+ (\d+)$/m);

    attempt("reading the supervisor", () =>
      fs.accessSync("/opt/sandgate/supervisor/supervisor.mjs", fs.constants.R_OK),
    );
    attempt("taking the bootstrap file", () => {
      fs.readFileSync("/run/sandgate/bootstrap/trial");
      fs.unlinkSync("/run/sandgate/bootstrap/trial");
    });
    attempt("writing the log", () => fs.writeFileSync("/run/sandgate/log/trial", ""));
    attempt("writing a private file", () => fs.writeFileSync("/run/sandgate/trial", ""));
    for (const path of ["/trial", "/run/sandgate/control/trial", "/run/sandgate/egress/trial", "/opt/sandgate/trial"]) {
      try {
        fs.writeFileSync(path, "");
        faults.push(`${path} could be written`);
      } catch {
        // as it must be
      }
    }
    // house-rule environment: that it is empty is what the trial is to find out
    for (const name of Object.keys(process.env)) if (name !== "PATH") faults.push(`it has the variable ${name}`);
    const report = (): void => {
      const answer = {
        faults,
        capabilities: field("CapEff"),
        noNewPrivileges: field("NoNewPrivs") === "1",
        seccomp: field("Seccomp") === "2",
        interfaces: fs
          .readFileSync("/proc/net/dev", "utf8")
          .split("\n")
          .flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? []),
        memoryBytes:
          number(`${group}/memory/memory.limit_in_bytes`, /^(\d+)$/m) ?? number(`${group}/memory.max`, /^(\d+)$/m),
        processes: number(`${group}/pids/pids.max`, /^(\d+)$/m) ?? number(`${group}/pids.max`, /^(\d+)$/m),
        cpus: quota === undefined || period === undefined ? undefined : quota / period,
      };
      process.stdout.write(`${JSON.stringify(answer)}\n`); // of a line without an end an engine may tell nothing
    };
    const socket = net.connect("/run/sandgate/control/trial.sock");
    socket.once("connect", () => {
      socket.destroy();
      report();
    });
    socket.once("error", (error) => {
      faults.push(`connecting to a socket of the machine: ${String((error as { code?: unknown }).code)}`);
      report();
    });
  }
).toString()})()`;

/** Reads what a trial container printed; undefined where that is no report. */
export function parseTrialReport(text: string): TrialReport | undefined {
  try {
    const report: unknown = JSON.parse(text);
    return typeof report === "object" && report !== null && "faults" in report && Array.isArray(report.faults)
      ? (report as TrialReport) // of our own script
      : undefined;
  } catch {
    return undefined; // it ended before it had said all
  }
}
