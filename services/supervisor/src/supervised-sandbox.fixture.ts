import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createFakeControlPlane,
  type FakeControlPlane,
  type FakeSession,
  startSupervisorProgram,
  supervisorRoot,
} from "@sandgate/testing";

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
  /** Kills it, at this very place. */
  kill(): void;
  /** Where it keeps what processes write, on this machine. */
  readonly logDirectory: string;
  /** What the supervisor logged. */
  log(): Promise<string>;
  close(): Promise<void>;
}

export const sandboxId = "sbx-supervisedsandboxaaa".slice(0, 24);

/** How the supervisor gets the credential that it enrols with. */
export type Enrolment = "configured file" | "SANDGATE_SANDBOX_TOKEN" | "SANDGATE_K8S_SA_TOKEN_FILE";

/** Starts it; `prepare` can change the control plane before the supervisor meets it. */
export async function startSupervisedSandbox(
  prepare: (plane: FakeControlPlane) => void = () => {},
  enrolment: Enrolment = "configured file",
): Promise<SupervisedSandbox> {
  const directory = await mkdtemp(join(tmpdir(), "sup-"));
  const plane = await createFakeControlPlane(sandboxId);
  prepare(plane);
  const opened = Promise.withResolvers<Awaited<ReturnType<typeof listenAsProxy>>>();
  const run = supervisorRoot;
  const tokenFile = `${run}/token/token`;
  const program = await startSupervisorProgram({
    directory,
    ...(enrolment === "configured file" && { bootstrapToken: plane.bootstrapToken }),
    ...(enrolment === "SANDGATE_SANDBOX_TOKEN" && { environment: { [enrolment]: plane.bootstrapToken } }),
    ...(enrolment === "SANDGATE_K8S_SA_TOKEN_FILE" && { environment: { [enrolment]: tokenFile } }),
    prepare: async (at) => {
      await plane.open(at("control"));
      await writeFile(at("control/service-ca.pem"), plane.serviceCa);
      opened.resolve(await listenAsProxy(at("egress/egress.sock")));
      if (enrolment === "SANDGATE_K8S_SA_TOKEN_FILE") await writeFile(at("token/token"), plane.bootstrapToken);
      return {
        sandbox_id: sandboxId,
        incarnation: "1",
        name: "demo",
        service_ca_file: `${run}/control/service-ca.pem`,
        auth_server_name: plane.serverName,
        policy_server_name: plane.serverName,
        sandbox_server_name: plane.serverName,
        enrol_address: `unix:${run}/control/enrol.sock`,
        auth_address: `unix:${run}/control/control.sock`,
        policy_address: `unix:${run}/control/control.sock`,
        sandbox_address: `unix:${run}/control/control.sock`,
        egress_socket: `${run}/egress/egress.sock`,
        ...(enrolment === "configured file" && { token_file: `${run}/bootstrap/token` }),
        forwarder_port: 3128,
        log_directory: `${run}/log`,
        workload: {
          workspace: `${run}/workspace`,
          temporary: `${run}/tmp`,
          environment: { FROM_SPEC: "yes" },
          limits: {},
        },
        unreachable_paths: [directory],
      };
    },
  });
  const { server: proxy, connections } = await opened.promise;
  const { process: child, exited } = program;
  const close = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    await plane.close();
    await new Promise((resolve) => proxy.close(resolve));
    await rm(directory, { recursive: true, force: true });
  };
  const end = (signal: NodeJS.Signals): void => {
    const init = onlyChildOf(child.pid ?? 0);
    process.kill(onlyChildOf(init), signal);
  };
  const session = await Promise.race([plane.session(), exited]);
  if (session === null || typeof session === "number") {
    await close();
    throw new Error(`the supervisor ended with ${session}: ${program.log()}`);
  }
  return {
    plane,
    session,
    egress: connections,
    exited,
    takeControlAway: () => plane.close(),
    bringControlBack: () => plane.open(join(directory, "control")),
    terminate: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    logDirectory: join(directory, "log"),
    log: async () => program.log(),
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
