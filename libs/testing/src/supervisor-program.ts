import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildSupervisor } from "./build-supervisor.ts";

/** Where the directories of a supervisor are, as it sees them. */
export const supervisorRoot = "/run/sandgate";

/** A supervisor's bundle that runs in a sandbox like the one that a driver makes. */
export interface SupervisorProgram {
  readonly process: ChildProcess;
  /** Its exit status. */
  readonly exited: Promise<number | null>;
  /** What it has logged so far. */
  log(): string;
  /** Resolves when it has logged this text. Rejects when it ends before. */
  logged(text: string): Promise<void>;
  /** Runs `supervisor debug-rpc` against it; answers the output and the exit status. */
  debug(words: readonly string[]): Promise<{ readonly output: string; readonly status: number | null }>;
}

const uid = 64_322;
const directories = ["control", "egress", "bootstrap", "log", "workspace", "tmp", "token"];

/**
 * Starts it. `directory` gets a folder for each of control, egress, bootstrap, log, workspace, tmp and token, which the supervisor sees below
 * `supervisorRoot`; `prepare` is called when they are there, and answers the configuration.
 */
export async function startSupervisorProgram(options: {
  readonly directory: string;
  readonly prepare: (at: (name: string) => string) => Promise<object>;
  /** Written to the bootstrap directory, for the supervisor alone. */
  readonly bootstrapToken?: string;
  /** Beside PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** As in a pod; else it has loopback alone. */
  readonly hasNetwork?: boolean;
}): Promise<SupervisorProgram> {
  const { directory, bootstrapToken, environment = {}, hasNetwork = false } = options;
  const isRoot = process.getuid?.() === 0;
  await chmod(directory, 0o711);
  const files = await buildSupervisor(join(directory, "bundle"));
  const at = (name: string): string => join(directory, name);
  for (const name of directories) {
    await mkdir(at(name));
    if (isRoot) await chown(at(name), uid, uid);
  }
  await writeFile(at("bootstrap/config.json"), JSON.stringify(await options.prepare(at)));
  if (bootstrapToken !== undefined) {
    await writeFile(at("bootstrap/token"), bootstrapToken);
    if (isRoot) await chown(at("bootstrap/token"), uid, uid);
  }
  const asUser = isRoot ? ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups", "--"] : [];
  const [file = "", ...args] = [
    ...asUser,
    ...["bwrap", "--die-with-parent", "--unshare-all", ...(hasNetwork ? ["--share-net"] : [])],
    ...["--uid", "65532", "--gid", "65532", "--clearenv"],
    ...Object.entries({ PATH: "/usr/bin:/bin:/usr/sbin:/sbin", ...environment }).flatMap(([name, value]) => [
      "--setenv",
      name,
      value,
    ]),
    ...["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"],
    ...["bin", "sbin", "lib", "lib64"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]),
    ...["--dir", "/etc", "--tmpfs", "/tmp", "--ro-bind", files.node, "/opt/sandgate/bin/node"],
    ...["--ro-bind", files.supervisor, "/opt/sandgate/supervisor/supervisor.mjs"],
    ...["--ro-bind", files.terminal, "/opt/sandgate/supervisor/pty.node"],
    ...["control", "egress", "token"].flatMap((name) => ["--ro-bind", at(name), `${supervisorRoot}/${name}`]),
    ...["bootstrap", "log", "workspace", "tmp"].flatMap((name) => ["--bind", at(name), `${supervisorRoot}/${name}`]),
    ...["/opt/sandgate/bin/node", "/opt/sandgate/supervisor/supervisor.mjs"],
    `${supervisorRoot}/bootstrap/config.json`,
  ];
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    log += chunk;
  });
  const logged = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!log.includes(text)) return;
        child.stderr.off("data", look);
        resolve();
      };
      child.stderr.on("data", look);
      void exited.then((code) => reject(new Error(`the supervisor ended with ${code}: ${log}`)));
      look();
    });
  const debug: SupervisorProgram["debug"] = async (words) => {
    const socket = ["debug-rpc", "--socket", at("bootstrap/debug.sock"), ...words];
    const asking = spawn(files.node, [files.supervisor, ...socket], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [asking.stdout, asking.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    const status = await new Promise<number | null>((resolve) => asking.once("close", resolve));
    return { output, status };
  };
  return { process: child, exited, log: () => log, logged, debug };
}
