import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSupervisor, createFakeControlPlane, type FakeControlPlane, type FakeSession } from "@sandgate/testing";

/** A supervisor's bundle in a sandbox like the one that a driver makes, with a fake control plane and a listener in the place of the egress proxy. */
export interface SupervisedSandbox {
  readonly plane: FakeControlPlane;
  readonly session: FakeSession;
  /** Connections to egress.sock, in order. */
  readonly egress: AsyncGenerator<Socket>;
  /** The supervisor's exit status. */
  readonly exited: Promise<number | null>;
  /** Takes the control plane away. */
  takeControlAway(): Promise<void>;
  /** Brings it back at the same place. */
  bringControlBack(): Promise<void>;
  /** Asks the supervisor to end, as the driver does. */
  terminate(): void;
  /** What the supervisor logged. */
  log(): Promise<string>;
  close(): Promise<void>;
}

const uid = 64_322;
export const sandboxId = "sbx-supervisedsandboxaaa".slice(0, 24);

/** Starts it; `prepare` can change the control plane before the supervisor meets it. */
export async function startSupervisedSandbox(
  prepare: (plane: FakeControlPlane) => void = () => {},
): Promise<SupervisedSandbox> {
  const root = process.getuid?.() === 0;
  const directory = await mkdtemp(join(tmpdir(), "sup-"));
  await chmod(directory, 0o711);
  const files = await buildSupervisor(join(directory, "bundle"));
  const at = (name: string): string => join(directory, name);
  for (const name of ["control", "egress", "bootstrap", "log", "workspace", "tmp"]) {
    await mkdir(at(name));
    if (root) await chown(at(name), uid, uid);
  }
  const plane = await createFakeControlPlane(sandboxId);
  prepare(plane);
  await plane.open(at("control"));
  const { server: proxy, connections } = await listenAsProxy(at("egress/egress.sock"));
  const run = "/run/sandgate";
  const config = {
    sandbox_id: sandboxId,
    incarnation: "1",
    name: "demo",
    service_ca: plane.serviceCa,
    auth_server_name: plane.serverName,
    policy_server_name: plane.serverName,
    sandbox_server_name: plane.serverName,
    enrol_socket: `${run}/control/enrol.sock`,
    auth_socket: `${run}/control/control.sock`,
    policy_socket: `${run}/control/control.sock`,
    sandbox_socket: `${run}/control/control.sock`,
    egress_socket: `${run}/egress/egress.sock`,
    token_file: `${run}/bootstrap/token`,
    forwarder_port: 3128,
    log_directory: `${run}/log`,
    workload: { workspace: `${run}/workspace`, temporary: `${run}/tmp`, environment: { FROM_SPEC: "yes" }, limits: {} },
    unreachable_paths: [directory],
  };
  await writeFile(at("bootstrap/config.json"), JSON.stringify(config));
  await writeFile(at("bootstrap/token"), plane.bootstrapToken);
  if (root) await chown(at("bootstrap/token"), uid, uid);
  const bubblewrap = [
    ...["bwrap", "--die-with-parent", "--unshare-all", "--uid", "65532", "--gid", "65532", "--clearenv"],
    ...[
      "--setenv",
      "PATH",
      "/usr/bin:/bin:/usr/sbin:/sbin",
      "--ro-bind",
      "/usr",
      "/usr",
      "--proc",
      "/proc",
      "--dev",
      "/dev",
    ],
    ...["bin", "sbin", "lib", "lib64"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]),
    ...["--dir", "/etc", "--tmpfs", "/tmp", "--ro-bind", files.node, "/opt/sandgate/bin/node"],
    ...["--ro-bind", files.supervisor, "/opt/sandgate/supervisor/supervisor.mjs"],
    ...["--ro-bind", files.terminal, "/opt/sandgate/supervisor/pty.node"],
    ...["control", "egress"].flatMap((name) => ["--ro-bind", at(name), `${run}/${name}`]),
    ...["bootstrap", "log", "workspace", "tmp"].flatMap((name) => ["--bind", at(name), `${run}/${name}`]),
    ...["/opt/sandgate/bin/node", "/opt/sandgate/supervisor/supervisor.mjs", `${run}/bootstrap/config.json`],
  ];
  const [file = "", ...args] = root
    ? ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups", "--", ...bubblewrap]
    : bubblewrap;
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString("utf8");
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const close = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    await plane.close();
    await new Promise((resolve) => proxy.close(resolve));
    await rm(directory, { recursive: true, force: true });
  };
  const session = await Promise.race([plane.session(), exited]);
  if (session === null || typeof session === "number") {
    await close();
    throw new Error(`the supervisor ended with ${session}: ${log}`);
  }
  return {
    plane,
    session,
    egress: connections,
    exited,
    takeControlAway: () => plane.close(),
    bringControlBack: () => plane.open(at("control")),
    terminate: () => {
      const init = onlyChildOf(child.pid ?? 0);
      process.kill(onlyChildOf(init), "SIGTERM");
    },
    log: async () => log,
    close,
  };
}

/** The supervisor is the child of the pid namespace's init, which is the child of the bubblewrap that was started. */
function onlyChildOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
  const [only = ""] = children;
  if (children.length !== 1 || only === "") throw new Error(`${pid} has the children [${children.join(", ")}]`);
  return Number(only);
}

async function listenAsProxy(path: string): Promise<{ server: Server; connections: AsyncGenerator<Socket> }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(path);
  await once(server, "listening");
  await chmod(path, 0o666);
  const connections = (async function* (): AsyncGenerator<Socket> {
    for (;;) {
      const [socket] = await once(server, "connection");
      yield socket;
    }
  })();
  return { server, connections };
}
