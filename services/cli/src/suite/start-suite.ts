import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ClientFile, formatClientFile, type ServiceName } from "../client-file.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { findFreePorts, isPortFree } from "./free-ports.ts";
import { type Launch, type Launched, launchProgram, untilReady } from "./launch-program.ts";
import { recordProcess } from "./process-record.ts";
import { type DevelopmentOrigin, programConfigs } from "./program-configs.ts";
import { locateProgram, type ProgramName, readableByAll } from "./programs.ts";
import { readReadiness } from "./readiness.ts";
import { requireEngine } from "./require-engine.ts";
import { configFileOf, findSuiteProcesses, type SuiteProcess, stopProcesses } from "./stop-suite.ts";
import { openSuiteDatabase } from "./suite-database.ts";
import type { SuiteDirectories } from "./suite-directories.ts";
import {
  findSuiteFile,
  newSuiteFile,
  portOf,
  programsOf,
  type SuiteDriver,
  type SuiteFile,
  type Topology,
  webProgramOf,
  writeSuiteFile,
} from "./suite-file.ts";
import { withSuiteLock } from "./suite-lock.ts";
import { completeSuitePki, programUsers } from "./suite-pki.ts";
import { makeDirectory, writeWhole } from "./whole-file.ts";

/** How a suite is to be started. */
export interface StartOptions {
  readonly directories: SuiteDirectories;
  /** undefined: as the last time, at first all in one. */
  readonly topology: Topology | undefined;
  /** undefined: as the last time, at first local. */
  readonly driver: SuiteDriver | undefined;
  readonly userId: number;
  /** Whether the processes outlive this one. */
  readonly detached: boolean;
  readonly edgePort: number | undefined;
  readonly mtlsPort: number | undefined;
  readonly webPort: number | undefined;
  /** Origins of the web pages that may call the web front. */
  readonly allowedOrigins: readonly string[];
  /** Ports to take at the first start where they are free. */
  readonly preferredPorts: Readonly<Record<string, number>>;
  /** A PostgreSQL to use instead of the embedded one. */
  readonly databaseUrlFile: string | undefined;
  readonly databaseUrl: string | undefined;
  /** Where Node keeps the compiled code of programs that run as we do. */
  readonly compileCache: string | undefined;
  readonly developmentOrigins: readonly DevelopmentOrigin[];
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told what is being done, and what was. */
  readonly onStep: (step: string, tookMs?: number) => void;
}

/** A suite that runs. */
export interface StartedSuite {
  readonly alreadyRunning: boolean;
  readonly topology: Topology;
  readonly client: ClientFile;
  readonly processes: readonly SuiteProcess[];
  /** What this call started itself. */
  readonly launched: readonly Launched[];
}

const services: readonly ServiceName[] = ["auth", "sandbox", "policy"];

/**
 * Starts what of the suite is not running, and waits until all of it is ready. Whatever an earlier start or a crash left is
 * used or mended. When it fails, it ends what it started.
 */
export async function startSuite(options: StartOptions): Promise<StartedSuite> {
  const { directories } = options;
  makeDirectories(directories, options.userId);
  return withSuiteLock(directories.lockFile, async () => {
    const remembered = findSuiteFile(directories.suiteFile);
    const running = findSuiteProcesses(directories);
    const topology = options.topology ?? remembered?.topology ?? "all-in-one";
    const programs = programsOf(topology);
    const foreign = running.filter(({ name }) => name !== "postgres" && !programs.includes(name as ProgramName));
    if (foreign.length > 0)
      throw new CommandFailure({
        message: `the suite runs as ${topology === "separate" ? "one process" : "separate processes"} already`,
        mend: "`sandgate down --keep` first",
        exitCode: exitCodes.usage,
      });
    const driver = options.driver ?? remembered?.driver;
    const wanted = { ...(remembered ?? newSuiteFile(topology)), topology, ...(driver !== undefined && { driver }) };
    const suite = await withPorts(wanted, programs, running, options);
    writeSuiteFile(directories.suiteFile, suite);

    const client = clientFileOf(directories, suite);
    if (await isComplete(suite, programs, running, existsSync(directories.clientFile))) {
      await completeSuitePki({ directories, suite, userId: options.userId }); // a suite may run for longer than its certificates live
      return { alreadyRunning: true, topology, client, processes: running, launched: [] };
    }
    await requireEngine(suite.driver, options.userId);
    return startMissing({ options, suite, programs, running, client });
  });
}

async function startMissing(context: {
  options: StartOptions;
  suite: SuiteFile;
  programs: readonly ProgramName[];
  running: readonly SuiteProcess[];
  client: ClientFile;
}): Promise<StartedSuite> {
  const { options, suite, programs, client } = context;
  const { directories } = options;
  const root = options.userId === 0;
  const deadline = performance.now() + options.timeoutMs;
  const mine: SuiteProcess[] = [];
  const timed = async <T>(step: string, work: Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    options.onStep(step);
    const result = await work;
    options.onStep(step, performance.now() - startedAt);
    return result;
  };
  try {
    const record = (name: string, pid: number) => {
      const process = recordProcess(directories.processes, name, pid, Date.now());
      if (process !== undefined) mine.push(process);
    };
    const database = await openSuiteDatabase({
      directories,
      urlFile: options.databaseUrlFile,
      url: options.databaseUrl,
      detached: options.detached,
      onStarted: (pid) => record("postgres", pid),
    });
    const databaseStarted = timed("database", database.started);
    databaseStarted.catch(() => {}); // awaited below, with the programs that need it
    const pki = await timed("certificates", completeSuitePki({ directories, suite, userId: options.userId }));
    options.signal.throwIfAborted();

    const everyone = (path: string) => (root ? readableByAll(path, directories.programs) : path);
    const node = everyone(process.execPath);
    const configs = programConfigs({
      directories,
      suite,
      pki,
      database: database.config,
      node,
      supervisor: locateProgram("supervisor"),
      terminal: locateProgram("terminal"),
      proxyUser: root ? programUsers["egress-proxy"] : undefined,
      allowedOrigins: options.allowedOrigins,
      developmentOrigins: options.developmentOrigins,
    });
    const launched = programs
      .filter((name) => !context.running.some((process) => process.name === name))
      .map((name): Launched => {
        const user = root ? programUsers[name] : undefined;
        const configFile = configFileOf(directories, name);
        writeWhole(configFile, `${JSON.stringify(configs[name], null, 2)}\n`, 0o600, user);
        const bundle = locateProgram(name);
        const launch: Launch = {
          name,
          node,
          bundle: user === undefined ? bundle : everyone(bundle),
          configFile,
          logFile: join(directories.log, `${name}.log`),
          adminPort: portOf(suite, name, "admin"),
          ...(user === undefined ? { compileCache: options.compileCache } : { user }),
        };
        const started = launchProgram(launch, { detached: options.detached, path: searchPath });
        record(name, started.pid);
        return started;
      });
    const { signal } = options;
    const others = programs.filter((name) => !launched.some(({ launch }) => launch.name === name));
    await Promise.all([
      databaseStarted,
      ...launched.map(({ launch, child }) => timed(launch.name, untilReady(launch, { child, deadline, signal }))),
      // what went on running has lost its connections to what is started anew
      ...others.map((name) => {
        const program = {
          name,
          adminPort: portOf(suite, name, "admin"),
          logFile: join(directories.log, `${name}.log`),
        };
        return untilReady(program, { deadline, signal });
      }),
    ]);
    writeWhole(directories.clientFile, formatClientFile(client), 0o600);
    return {
      alreadyRunning: false,
      topology: suite.topology,
      client,
      processes: findSuiteProcesses(directories),
      launched,
    };
  } catch (error) {
    await stopProcesses(directories, mine, { timeoutMs: 5_000 });
    throw error;
  }
}

/** The programs of Debian's own path; services start bwrap, setpriv and the like by name. */
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function makeDirectories(directories: SuiteDirectories, userId: number): void {
  // As root, other uids (the proxy's, the database's, each sandbox's) must pass through to what is theirs, without seeing the rest.
  const passage = userId === 0 ? 0o711 : 0o700;
  for (const path of [
    directories.state,
    directories.runtime,
    directories.config,
    directories.sandboxes,
    directories.pki,
  ])
    makeDirectory(path, passage);
  for (const path of [directories.log, directories.processes]) makeDirectory(path, 0o700);
}

/** Every program runs and is ready, and the client file is there. */
async function isComplete(
  suite: SuiteFile,
  programs: readonly ProgramName[],
  running: readonly SuiteProcess[],
  hasClientFile: boolean,
): Promise<boolean> {
  if (!hasClientFile || !programs.every((name) => running.some((process) => process.name === name))) return false;
  const states = await Promise.all(programs.map((name) => readReadiness(portOf(suite, name, "admin"), 2_000)));
  return states.every(({ state }) => state === "ready");
}

function listenersOf(name: ProgramName): readonly string[] {
  switch (name) {
    case "egress-proxy":
      return ["admin"];
    case "all-in-one":
      return ["edge", "mtls", "web", "admin", "jwks"];
    case "auth":
      return ["edge", "mtls", "gateway", "admin", "jwks"];
    case "sandbox":
    case "policy":
      return ["edge", "mtls", "gateway", "admin"];
    case "gateway":
      return ["web", "admin"];
  }
}

/** Gives every listener a port: the one asked for, the one it had, a preferred one that is free, or any free one. */
async function withPorts(
  suite: SuiteFile,
  programs: readonly ProgramName[],
  running: readonly SuiteProcess[],
  options: StartOptions,
): Promise<SuiteFile> {
  const ports: Record<string, number> = { ...suite.ports };
  const control = programs.filter((name) => name !== "egress-proxy" && name !== "gateway");
  for (const [index, name] of control.entries()) {
    if (options.edgePort !== undefined) ports[`${name}.edge`] = options.edgePort + index;
    if (options.mtlsPort !== undefined) ports[`${name}.mtls`] = options.mtlsPort + index;
  }
  if (options.webPort !== undefined) ports[`${webProgramOf(suite.topology)}.web`] = options.webPort;
  const keys = programs.flatMap((name) => listenersOf(name).map((listener) => `${name}.${listener}`));
  for (const key of keys) {
    const preferred = options.preferredPorts[key];
    if (ports[key] === undefined && preferred !== undefined && (await isPortFree(preferred))) ports[key] = preferred;
  }
  const missing = keys.filter((key) => ports[key] === undefined);
  const free = await findFreePorts(missing.length);
  missing.forEach((key, index) => {
    const port = free[index];
    if (port !== undefined) ports[key] = port;
  });

  const taken: string[] = [];
  for (const name of programs) {
    if (running.some((process) => process.name === name)) continue;
    for (const listener of listenersOf(name)) {
      const port = ports[`${name}.${listener}`];
      if (port !== undefined && !(await isPortFree(port))) taken.push(`${port} (${name}, ${listener} listener)`);
    }
  }
  if (taken.length > 0)
    throw new CommandFailure({
      message: `in use by another program on 127.0.0.1: port ${taken.join(", port ")}`,
      mend: "end that program, or choose other ports with --edge-port, --mtls-port and --web-port",
      exitCode: exitCodes.usage,
    });
  return { ...suite, ports };
}

function clientFileOf(directories: SuiteDirectories, suite: SuiteFile): ClientFile {
  const addresses = (listener: string) => {
    const addressOf = (service: ServiceName) =>
      `127.0.0.1:${portOf(suite, suite.topology === "all-in-one" ? "all-in-one" : service, listener)}`;
    const [auth, sandbox, policy] = services.map(addressOf);
    return { auth: auth ?? "", sandbox: sandbox ?? "", policy: policy ?? "" };
  };
  return {
    version: 1,
    trustDomain: suite.trustDomain,
    addresses: addresses("mtls"),
    edgeAddresses: addresses("edge"),
    webAddress: `127.0.0.1:${portOf(suite, webProgramOf(suite.topology), "web")}`,
    serviceCa: { file: join(directories.pki, "service-ca.pem") },
    operator: {
      certificateFile: join(directories.pki, "operator.pem"),
      keyFile: join(directories.pki, "operator.key.pem"),
    },
  };
}
