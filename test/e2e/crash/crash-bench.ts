import { once } from "node:events";
import { chmodSync, createWriteStream, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import { type Client, createClient, createGrpcChannel, FileCertificateStore } from "@sandgate/rpc";
import { createThrowAwayDatabase } from "@sandgate/testing";
import { bundleInto } from "../../../scripts/build.ts";
import { hireJanitor } from "../janitor.fixture.ts";
import { supervisorPointPrefix } from "./crash-points.ts";
import { CrashProgram } from "./crash-program.ts";

const root = resolve(import.meta.dirname, "../../..");
const trustDomain = "sandgate.test";
const operatorUserId = "11111111-0000-4000-8000-000000000001";
const organizationId = "5f0e9c1e-0000-4000-8000-000000000001";
const proxyUser = process.getuid?.() === 0 ? { uid: 65_530, gid: 65_530 } : undefined;

/** How the control plane runs. */
export type Topology = "all in one" | "separate";

/** The programs of the control plane in each topology. */
const controlPlanes = { "all in one": ["all-in-one"], separate: ["auth", "policy", "sandbox"] } as const;

/** A suite whose programs are killed and started again, with real sandboxes, on a database of its own. */
export interface CrashBench {
  readonly topology: Topology;
  readonly sandbox: Client<typeof SandboxService>;
  readonly auth: Client<typeof AuthService>;
  readonly policy: Client<typeof PolicyService>;
  /** Has every program run, with that life of a sandbox's session; undefined: what a configuration without it says. */
  prepare(sessionSeconds: number | undefined): Promise<void>;
  /** Ends the control plane with SIGTERM. Throws when a program does not end by itself, or with a fault. */
  end(): Promise<void>;
  /** Starts the control plane that was ended. */
  start(): Promise<void>;
  /** Resolves when every program runs. */
  up(): Promise<void>;
  /** From now on crash points count; whoever reaches the one that is named dies, once. */
  arm(point: string | undefined): void;
  disarm(): void;
  /** How often a program was killed. */
  readonly kills: number;
  /** Every point that a program has reached since the last call of `takeRecord`. */
  readRecord(): readonly string[];
  takeRecord(): readonly string[];
  /** Every point that the sandbox's supervisor has reached; none once the sandbox's directory is removed. */
  readSupervisorRecord(sandboxId: string): readonly string[];
  processesOf(sandboxId: string): readonly string[];
  /** Whatever is left on the machine of a sandbox: processes, mounts, directories with their sockets. */
  remainsOf(sandboxId: string): readonly string[];
  /** The tables in which anything was changed since the programs began, as schema.table. The programs must have been ended. */
  changedTables(): Promise<readonly string[]>;
  /** The last lines of the programs' logs. */
  lastWords(): string;
  stop(): Promise<void>;
}

/** Makes everything that a suite needs, and starts its egress proxy. */
export async function createCrashBench(topology: Topology): Promise<CrashBench> {
  const directory = await mkdtemp(join(tmpdir(), "sgc-"));
  const janitor = hireJanitor(directory);
  await chmod(directory, 0o711);
  const within = (name: string) => join(directory, name);
  await Promise.all(["r", "state", "programs"].map((name) => mkdir(within(name), { mode: 0o711 })));
  const hosts = [...controlPlanes[topology], "egress-proxy", "supervisor"];
  const [database, pki] = await Promise.all([
    createThrowAwayDatabase({ services: ["auth", "sandbox", "policy"] }),
    createDevelopmentPki({
      directory: within("pki"),
      trustDomain,
      operatorUserId,
      ...(proxyUser !== undefined && { owners: { "egress-proxy": proxyUser } }),
    }),
    bundleInto(
      within("programs"),
      root,
      Object.fromEntries(hosts.map((name) => [`${name}-host`, `test/e2e/crash/${name}-host.ts`])),
    ),
  ]);
  const files = { recordFile: within("record"), armFile: within("armed") };
  const writeForAll = async (file: string, text: string): Promise<void> => {
    writeFileSync(file, text);
    await chmod(file, 0o666); // the proxy has an uid of its own
  };
  await writeForAll(files.recordFile, "");

  const addressOf = (service: "auth" | "policy" | "sandbox") =>
    `unix:${within(topology === "separate" ? `${service}.sock` : "all-in-one.sock")}`;
  const configs = configsOf({ within, pki, database: database.connection, addressOf });
  const log = createWriteStream(within("log"), { flags: "a" });
  await once(log, "open");
  const program = (name: keyof typeof configs) => new CrashProgram({ name, directory: within("programs"), log });
  const controlPlane = controlPlanes[topology].map(program);
  const proxy = program("egress-proxy");
  const programs = [...controlPlane, proxy];

  let sessionSeconds: number | undefined;
  let running = false;
  const ordersOf = ({ name }: CrashProgram) => ({
    config: configs[name as keyof typeof configs],
    files,
    sessionSeconds,
  });
  const start = async (): Promise<void> => {
    running = true;
    await Promise.all(controlPlane.map((each) => each.start(ordersOf(each))));
  };
  const end = async (): Promise<void> => {
    running = false;
    await Promise.all(controlPlane.map((each) => each.end()));
  };
  const readRecord = () => linesOf(files.recordFile);

  const certificates = new FileCertificateStore({
    caFiles: [pki.serviceAuthority.certificateFile],
    certificateFile: pki.operator.certificateFile,
    keyFile: pki.operator.keyFile,
  });
  const channelTo = (service: "auth" | "policy" | "sandbox") =>
    createGrpcChannel({ address: addressOf(service), serverName: `${service}.${trustDomain}`, certificates });
  const channels = { auth: channelTo("auth"), policy: channelTo("policy"), sandbox: channelTo("sandbox") };
  await proxy.start(ordersOf(proxy));

  return {
    topology,
    sandbox: createClient(SandboxService, channels.sandbox),
    auth: createClient(AuthService, channels.auth),
    policy: createClient(PolicyService, channels.policy),
    async prepare(seconds) {
      if (running && seconds === sessionSeconds) return;
      if (running) await end();
      sessionSeconds = seconds;
      await start();
    },
    end,
    start,
    async up() {
      await Promise.all(programs.map((each) => each.up()));
    },
    arm(point) {
      writeFileSync(files.armFile, point ?? "");
      chmodSync(files.armFile, 0o666);
    },
    disarm: () => rmSync(files.armFile, { force: true }),
    get kills() {
      return programs.reduce((sum, each) => sum + each.kills, 0);
    },
    readRecord,
    takeRecord() {
      const points = readRecord();
      writeFileSync(files.recordFile, "");
      return points;
    },
    readSupervisorRecord: (sandboxId) =>
      linesOf(within(`state/sandboxes/${sandboxId}/supervisor.log`))
        .filter((line) => line.startsWith(supervisorPointPrefix))
        .map((line) => line.slice(supervisorPointPrefix.length)),
    processesOf: findProcesses,
    remainsOf: (sandboxId) => [
      ...findProcesses(sandboxId),
      ...linesOf("/proc/self/mountinfo").filter((line) => line.includes(sandboxId)),
      ...[`r/control/${sandboxId}`, `r/egress/${sandboxId}`, `state/sandboxes/${sandboxId}`].filter((path) =>
        existsSync(within(path)),
      ),
    ],
    async changedTables() {
      const { rows } = await database.createPool("auth").query<{ name: string }>(
        `select schemaname || '.' || relname as name from pg_stat_user_tables
            where n_tup_ins + n_tup_upd + n_tup_del > 0 order by 1`,
      );
      return rows.map(({ name }) => name);
    },
    lastWords: () => linesOf(within("log")).slice(-60).join("\n"),
    async stop() {
      for (const channel of Object.values(channels)) channel.close();
      certificates.close();
      try {
        await Promise.all(programs.map((each) => each.end()));
      } finally {
        log.close();
        // after a failed test a sandbox may be left, which outlives its control plane
        await janitor.finish();
        await database.drop();
      }
    },
  };
}

/** The configuration of each program, as its schema has it. */
function configsOf(context: {
  readonly within: (name: string) => string;
  readonly pki: DevelopmentPki;
  readonly database: { readonly host: string; readonly port: number; readonly database: string; readonly user: string };
  readonly addressOf: (service: "auth" | "policy" | "sandbox") => string;
}) {
  const { within, pki, addressOf } = context;
  const { host, port, database: name, user } = context.database;
  const database = { host, port, database: name, user };
  const common = (program: "all-in-one" | "auth" | "policy" | "sandbox" | "egress-proxy") => ({
    mode: "development",
    trust_domain: trustDomain,
    admin: { port: 0 },
    tls: {
      certificate_file: pki.services[program].certificateFile,
      key_file: pki.services[program].keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
  });
  const listening = (address: string) => ({ listeners: { edge: { addresses: [] }, mtls: { addresses: [address] } } });
  const directories = { control: within("r/control"), egress: within("r/egress") };
  const auth = { address: addressOf("auth") };
  const policy = { address: addressOf("policy") };
  const authSettings = {
    key_directory: within("keys"),
    sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
    operators: [
      {
        id: operatorUserId,
        name: "operator",
        role: "admin",
        organization_id: organizationId,
        organization_name: "test",
      },
    ],
  };
  const sandboxSettings = {
    state_directory: within("state"),
    sweep_interval_ms: 1_000,
    driver: {
      local: {
        node_file: process.execPath,
        supervisor_file: within("programs/supervisor-host.mjs"),
        terminal_file: within("programs/pty.node"),
        keep_spare: false, // what is found afterwards is to be the sandbox's alone; the driver's own tests kill around spares
        ...(proxyUser !== undefined && { egress_uid: proxyUser.uid }),
      },
    },
  };
  return {
    auth: {
      ...common("auth"),
      ...listening(addressOf("auth")),
      database,
      directories: { control: directories.control },
      ...authSettings,
    },
    policy: {
      ...common("policy"),
      ...listening(addressOf("policy")),
      database,
      directories: { control: directories.control },
      clients: { auth },
    },
    sandbox: {
      ...common("sandbox"),
      ...listening(addressOf("sandbox")),
      database,
      clients: { auth, policy },
      directories,
      ...sandboxSettings,
    },
    "all-in-one": {
      ...common("all-in-one"),
      ...listening(addressOf("auth")),
      database,
      directories,
      ...authSettings,
      ...sandboxSettings,
    },
    "egress-proxy": {
      ...common("egress-proxy"),
      clients: { auth, policy },
      directories: { egress: directories.egress },
      ...(proxyUser !== undefined && { user: proxyUser }),
    },
  };
}

/** The processes with this text in their command line, such as a sandbox's id. */
function findProcesses(text: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const line = linesOf(`/proc/${name}/cmdline`).join(" ").replaceAll("\0", " ");
      return line.includes(text) ? [line] : [];
    });
}

/** The lines of a file that are not empty; none where it is not there. */
function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    return []; // a process that has just ended, or a sandbox that is removed
  }
}
