import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { type Client, createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import { buildSupervisor, createThrowAwayDatabase } from "@sandgate/testing";

const trustDomain = "sandgate.test";
const operatorUserId = "11111111-0000-4000-8000-000000000001";
const proxyUser = process.getuid?.() === 0 ? { uid: 65_530, gid: 65_530 } : undefined;

/** A control plane that is killed and started again, and the egress proxy beside it, on a real database and the local driver. */
export interface CrashBench {
  readonly client: Client<typeof SandboxService>;
  readonly auth: Client<typeof AuthService>;
  readonly policy: Client<typeof PolicyService>;
  /**
   * Starts the control plane; it dies at that point, if one is named, once points count. `sessionSeconds` is the life of a sandbox's
   * session, also after the next start; undefined: what a configuration without it says.
   */
  start(options: {
    readonly killAt?: string | undefined;
    readonly armed: boolean;
    readonly sessionSeconds?: number | undefined;
  }): Promise<void>;
  /** From now on crash points count. */
  arm(): void;
  /** Whether the control plane was killed since `start`; it has been started again by then, or will be. */
  wasKilled(): boolean;
  /** Resolves when a control plane runs. */
  up(): Promise<void>;
  /** Ends the control plane with SIGTERM. Throws when it does not end by itself, or with a fault. */
  end(): Promise<void>;
  /** Every point that was reached since the last call of `takeRecord`. */
  readRecord(): readonly string[];
  takeRecord(): readonly string[];
  /** Whatever is left on the machine of a sandbox: processes, mounts, directories with their sockets. */
  remainsOf(sandboxId: string): readonly string[];
  /** The last lines of the programs' logs. */
  lastWords(): string;
  stop(): Promise<void>;
}

/** Starts the proxy and makes everything that a control plane needs. */
export async function createCrashBench(): Promise<CrashBench> {
  const directory = await mkdtemp(join(tmpdir(), "sgc-"));
  await chmod(directory, 0o711);
  const within = (name: string) => join(directory, name);
  await Promise.all(["r", "state"].map((name) => mkdir(within(name), { mode: 0o711 })));
  const database = await createThrowAwayDatabase({ services: ["auth", "sandbox", "policy"] });
  const programs = await buildSupervisor(within("programs"));
  const pki = await createDevelopmentPki({
    directory: within("pki"),
    trustDomain,
    operatorUserId,
    ...(proxyUser !== undefined && { owners: { "egress-proxy": proxyUser } }),
  });
  const tlsOf = (name: "all-in-one" | "egress-proxy") => ({
    certificate_file: pki.services[name].certificateFile,
    key_file: pki.services[name].keyFile,
    service_ca_file: pki.serviceAuthority.certificateFile,
    sandbox_ca_file: pki.sandboxAuthority.certificateFile,
    operator_ca_file: pki.operatorAuthority.certificateFile,
  });
  const common = (name: "all-in-one" | "egress-proxy") => ({
    mode: "development",
    trust_domain: trustDomain,
    admin: { port: 0 },
    tls: tlsOf(name),
  });
  const mtlsAddress = `unix:${within("mtls.sock")}`;
  const config = {
    ...common("all-in-one"),
    listeners: { edge: { addresses: [] }, mtls: { addresses: [mtlsAddress] } },
    database: databaseSection(database.connection),
    directories: { control: within("r/control"), egress: within("r/egress") },
    key_directory: within("keys"),
    sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
    operators: [
      {
        id: operatorUserId,
        name: "operator",
        role: "admin",
        organization_id: "5f0e9c1e-0000-4000-8000-000000000001",
        organization_name: "local",
      },
    ],
    state_directory: within("state"),
    sweep_interval_ms: 1_000,
    driver: {
      local: {
        node_file: programs.node,
        supervisor_file: programs.supervisor,
        terminal_file: programs.terminal,
        ...(proxyUser !== undefined && { egress_uid: proxyUser.uid }),
      },
    },
  };
  const plan = { recordFile: within("record"), armFile: within("armed") };
  writeFileSync(plan.recordFile, "");

  const proxyConfigFile = within("proxy.json");
  const clientAddress = { address: mtlsAddress };
  writeFileSync(
    proxyConfigFile,
    JSON.stringify({
      ...common("egress-proxy"),
      clients: { auth: clientAddress, policy: clientAddress },
      directories: { egress: config.directories.egress },
      ...(proxyUser !== undefined && { user: proxyUser }),
    }),
  );
  const log = createWriteStream(within("log"), { flags: "a" });
  await once(log, "open");
  const run = (program: string, ...args: readonly string[]): ChildProcess =>
    spawn(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...args], {
      stdio: ["ignore", log, log, "pipe"],
      // the programs are started many times, as they are in the repository
      env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), "sandgate-compile-cache") },
    });

  let plane: { readonly child: ChildProcess; readonly exit: Promise<void> } | undefined;
  let up: Promise<void> = Promise.resolve();
  let killed = false;
  let ending = false;

  const launch = async (killAt: string | undefined, sessionSeconds: number | undefined): Promise<void> => {
    const file = within("plan.json");
    const sessionMinutes = sessionSeconds === undefined ? undefined : sessionSeconds / 60;
    writeFileSync(file, JSON.stringify({ config, crash: { ...plan, killAt }, sessionMinutes }));
    const child = run("./control-plane.ts", file);
    const exit = once(child, "exit").then(([, signal]) => {
      plane = undefined;
      if (signal !== "SIGKILL") return;
      killed = true;
      if (!ending) up = launch(undefined, sessionSeconds);
    });
    plane = { child, exit };
    const ready = child.stdio[3];
    if (ready === null || ready === undefined || !("read" in ready)) throw new Error("the child has no pipe");
    await Promise.race([once(ready, "data"), exit]);
  };

  const readRecord = () =>
    readFileSync(plan.recordFile, "utf8")
      .split("\n")
      .filter((line) => line !== "");

  const certificates = new FileCertificateStore({
    caFiles: [pki.serviceAuthority.certificateFile],
    certificateFile: pki.operator.certificateFile,
    keyFile: pki.operator.keyFile,
  });
  const channel = createGrpcChannel({ address: mtlsAddress, serverName: `sandbox.${trustDomain}`, certificates });
  const proxy = run("../../../services/egress-proxy/src/main.ts", "--config", proxyConfigFile);

  return {
    client: createClient(SandboxService, channel),
    auth: createClient(AuthService, channel),
    policy: createClient(PolicyService, channel),
    async start({ killAt, armed, sessionSeconds }) {
      killed = false;
      ending = false;
      if (armed) writeFileSync(plan.armFile, "");
      else rmSync(plan.armFile, { force: true });
      up = launch(killAt, sessionSeconds);
      await up;
    },
    arm: () => writeFileSync(plan.armFile, ""),
    wasKilled: () => killed,
    async up() {
      for (let current = up; ; current = up) {
        await current;
        if (current === up) return;
      }
    },
    async end() {
      await up;
      ending = true;
      const ended = plane;
      ended?.child.kill("SIGTERM");
      await ended?.exit;
      if (ended?.child.exitCode === 1) throw new Error("the control plane did not stop in order");
    },
    readRecord,
    takeRecord() {
      const points = readRecord();
      writeFileSync(plan.recordFile, "");
      return points;
    },
    lastWords: () => readFileSync(within("log"), "utf8").split("\n").slice(-40).join("\n"),
    remainsOf: (sandboxId) => [
      ...findProcesses(sandboxId).map(({ line }) => line),
      ...readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(sandboxId)),
      ...[`r/control/${sandboxId}`, `r/egress/${sandboxId}`, `state/sandboxes/${sandboxId}`].filter((path) =>
        existsSync(within(path)),
      ),
    ],
    async stop() {
      ending = true;
      channel.close();
      certificates.close();
      for (const child of [plane?.child, proxy]) {
        if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      // after a failed test a sandbox may be left, which outlives its control plane
      for (const { pid } of findProcesses(directory)) killIfThere(pid);
      log.close();
      await database.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function databaseSection({
  host,
  port,
  database,
  user,
}: {
  host: string;
  port: number;
  database: string;
  user: string;
}) {
  return { host, port, database, user };
}

/** The processes with this text in their command line, such as a sandbox's id or a directory of the test's own. */
function findProcesses(text: string): { readonly pid: number; readonly line: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
        return line.includes(text) ? [{ pid: Number(name), line }] : [];
      } catch {
        return []; // it has just ended
      }
    });
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
