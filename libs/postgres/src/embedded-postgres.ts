import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, chown, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { Socket } from "node:net";
import { basename, dirname, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { ClusterTemplate } from "./cluster-template.ts";
import { type ConnectionSettings, toClientConfig } from "./connection-settings.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { findPostgresBinaries, type PostgresBinaries, postgresMajorVersion } from "./postgres-binaries.ts";
import { createPostgresCommand, type PostgresCommand } from "./postgres-command.ts";
import { clearRemains, findPostmasterFile, isServerProcess, signalProcess, stopPostmaster } from "./postmaster.ts";
import { sqlStateOf } from "./sql-state.ts";

/** Where an embedded server keeps its things and how it runs. */
export interface EmbeddedPostgresOptions {
  /** Absolute. Made if it is missing; belongs to the server's uid, mode 0700. */
  readonly dataDirectory: string;
  /**
   * Absolute; must exist, and be writable for this process alone. The socket is made in `<runtimeDirectory>/postgres`, which only
   * the server's uid and root can enter; the server's log is `postgres.log` beside it.
   */
  readonly runtimeDirectory: string;
  /** As root: the unprivileged uid and gid that the server runs with. Default 65531. Ignored otherwise. */
  readonly uid?: number;
  /** "independent" (default): lives until `stop`. "starter": also ends when this process dies, however it dies. */
  readonly lifetime?: "independent" | "starter";
  /** Default true. Without it a power loss destroys the data: for tests. */
  readonly durable?: boolean;
  /** Default 50. */
  readonly maxConnections?: number;
  readonly logger?: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** Where an embedded server is reached: `host` is the socket's directory, and there is no password. */
export interface SocketConnection {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** A running embedded server. */
export interface EmbeddedPostgres {
  /** The admin's way in. */
  readonly connection: SocketConnection;
  /** The postmaster's pid; another one after it died and was restarted. */
  readonly pid: number;
  /** Disconnects everyone, writes a checkpoint and ends the server. Idempotent. */
  stop(): Promise<void>;
}

const port = 5432;
const superuser = "sandgate";
const databaseName = "sandgate";
const startTimeoutMs = 60_000;
const stopTimeoutMs = 10_000;

/**
 * Starts PostgreSQL on a Unix socket only, or takes over the server that already runs on this data directory; recovers a data
 * directory whose server was killed. As long as this process lives, a server that dies is started again. Throws
 * EmbeddedPostgresError, which says what to do, where the machine lacks something or a directory is not usable.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const server = new EmbeddedServer(options);
  await server.start();
  return server;
}

/** Where the server with this runtime directory is, or will be, reached. */
export function embeddedConnection(runtimeDirectory: string): SocketConnection {
  return { host: join(runtimeDirectory, "postgres"), port, database: databaseName, user: superuser };
}

class EmbeddedServer implements EmbeddedPostgres {
  readonly connection: SocketConnection;
  readonly #options: EmbeddedPostgresOptions;
  readonly #binaries: PostgresBinaries;
  readonly #uid: number;
  readonly #socketDirectory: string;
  #pid = 0;
  #stopped: Promise<void> | undefined;
  #restarting: Promise<void> | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor(options: EmbeddedPostgresOptions) {
    if (!isAbsolute(options.dataDirectory) || !isAbsolute(options.runtimeDirectory))
      throw new EmbeddedPostgresError("the directories of the embedded PostgreSQL must be absolute paths");
    this.#options = options;
    this.#binaries = findPostgresBinaries();
    const ownUid = process.geteuid?.() ?? 0;
    this.#uid = ownUid === 0 ? (options.uid ?? 65_531) : ownUid;
    this.connection = embeddedConnection(options.runtimeDirectory);
    this.#socketDirectory = this.connection.host;
    const socket = join(this.#socketDirectory, `.s.PGSQL.${port}`);
    if (Buffer.byteLength(socket) > 107)
      throw new EmbeddedPostgresError(`the path of the socket is too long (107 bytes at most): ${socket}`);
  }

  get pid(): number {
    return this.#pid;
  }

  async start(): Promise<void> {
    await this.#prepareDirectories();
    await this.#run();
    await this.#ensureDatabase();
    this.#watch = setInterval(() => this.#restartIfDead(), 500);
    this.#watch.unref();
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      clearInterval(this.#watch);
      await this.#restarting;
      await stopPostmaster(this.#options.dataDirectory, this.#pid, stopTimeoutMs);
    })();
    return this.#stopped;
  }

  async #prepareDirectories(): Promise<void> {
    const { dataDirectory, runtimeDirectory } = this.#options;
    await requireDirectory(runtimeDirectory);
    await mkdir(this.#socketDirectory, { recursive: true, mode: 0o700 });
    await this.#own(this.#socketDirectory);
    await mkdir(dirname(dataDirectory), { recursive: true, mode: 0o700 });
    const version = await readFile(join(dataDirectory, "PG_VERSION"), "utf8").catch(() => undefined);
    if (version === undefined) return this.#initialize();
    if (version.trim() !== postgresMajorVersion)
      throw new EmbeddedPostgresError(
        `${dataDirectory} was made by PostgreSQL ${version.trim()}, this is ${postgresMajorVersion}: dump it with the old one and restore`,
      );
    const { uid } = await stat(dataDirectory);
    if (uid !== this.#uid)
      throw new EmbeddedPostgresError(
        `${dataDirectory} belongs to uid ${uid}, but PostgreSQL runs as uid ${this.#uid}`,
      );
  }

  /** Makes the data directory under another name first, so that it is there whole or not at all. */
  async #initialize(): Promise<void> {
    const { dataDirectory, durable = true } = this.#options;
    const parent = dirname(dataDirectory);
    const prefix = `${basename(dataDirectory)}.new-`;
    for (const name of await readdir(parent))
      if (name.startsWith(prefix) && !signalProcess(Number.parseInt(name.slice(prefix.length), 10), 0))
        await rm(join(parent, name), { recursive: true, force: true });
    if ((await readdir(dataDirectory).catch(() => [])).length > 0)
      throw new EmbeddedPostgresError(`${dataDirectory} is not empty and holds no PostgreSQL data`);

    const fresh = join(parent, `${prefix}${process.pid}-${randomUUID().slice(0, 8)}`);
    const template = new ClusterTemplate({ binaries: this.#binaries, uid: this.#uid });
    try {
      if (!(await template.copyTo(fresh, { durable }))) {
        await mkdir(fresh, { mode: 0o700 });
        await this.#own(fresh);
        await this.#runInitdb(fresh);
        await template.keep(fresh);
      }
      await syncDirectory(parent);
      await rename(fresh, dataDirectory).catch(async (error: NodeJS.ErrnoException) => {
        // another starter was faster: what it made is as good
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
      await syncDirectory(parent);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  }

  async #runInitdb(fresh: string): Promise<void> {
    const { durable = true } = this.#options;
    const command = await this.#command(
      "initdb",
      [
        ...["--pgdata", fresh, "--username", superuser],
        ...["--auth-local", "trust", "--auth-host", "reject"],
        ...["--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"],
        ...["--wal-segsize", "4", "--no-instructions"],
        ...(durable ? [] : ["--no-sync"]),
      ],
      [fresh],
    );
    const child = spawn(command.file, command.args, { env: command.env, stdio: ["ignore", "pipe", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-4_000);
      });
    const code = await exitOf(child, command, "close");
    if (code !== 0) throw new EmbeddedPostgresError(`initdb failed:\n${output.trim()}`);
  }

  /** Takes over the running server or starts one; leaves its pid behind when it is ready. */
  async #run(): Promise<void> {
    const { dataDirectory, logger } = this.#options;
    const end = Date.now() + startTimeoutMs;
    let failure = "";
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const running = await this.#findPostmaster();
      if (running !== undefined) {
        if (await this.#waitUntilReady(running, end, () => false)) {
          this.#pid = running;
          logger?.info({ pid: running }, "took over the running embedded postgres");
          return;
        }
        await stopPostmaster(dataDirectory, running, stopTimeoutMs);
      }
      await clearRemains(dataDirectory, this.#socketDirectory);
      const started = await this.#spawn(end);
      if (typeof started === "number") {
        this.#pid = started;
        logger?.info({ pid: started }, "embedded postgres is running");
        return;
      }
      failure = started.failure;
    }
    throw new EmbeddedPostgresError(`the embedded PostgreSQL does not start:\n${failure}`);
  }

  /** The live postmaster of the data directory, if there is one. */
  async #findPostmaster(): Promise<number | undefined> {
    const file = await findPostmasterFile(this.#options.dataDirectory);
    if (file === undefined) return undefined;
    return (await isServerProcess(this.#options.dataDirectory, file.pid)) ? file.pid : undefined;
  }

  async #spawn(end: number): Promise<number | { readonly failure: string }> {
    const { dataDirectory, runtimeDirectory, durable = true, maxConnections = 50 } = this.#options;
    const settings = {
      listen_addresses: "",
      unix_socket_directories: this.#socketDirectory,
      unix_socket_permissions: "0700",
      port: String(port),
      max_connections: String(maxConnections),
      shared_buffers: "16MB",
      // what a suite of this size never needs costs a process or memory each
      io_method: "sync",
      max_worker_processes: "0",
      max_parallel_workers_per_gather: "0",
      max_logical_replication_workers: "0",
      max_wal_senders: "0",
      wal_level: "minimal",
      autovacuum_max_workers: "1",
      autovacuum_worker_slots: "2",
      jit: "off",
      huge_pages: "off",
      // shared memory in the data directory: nothing is left in /dev/shm by a server that is killed
      dynamic_shared_memory_type: "mmap",
      min_wal_size: "16MB",
      max_wal_size: "256MB",
      timezone: "UTC",
      log_timezone: "UTC",
      // neither statements nor values go into the log
      log_min_messages: "log",
      log_min_error_statement: "panic",
      log_error_verbosity: "terse",
      ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
    };
    const command = await this.#command(
      "postgres",
      ["-D", dataDirectory, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      [dataDirectory, this.#socketDirectory],
    );
    const logPath = join(runtimeDirectory, "postgres.log");
    const log = await open(logPath, "w", 0o600);
    const child = spawn(command.file, command.args, {
      env: command.env,
      stdio: ["ignore", log.fd, log.fd, this.#options.lifetime === "starter" ? "pipe" : "ignore"],
      // a session of its own: an interrupt at the terminal is for the starter, which stops it in order
      detached: true,
    });
    let exited = false;
    const exit = exitOf(child, command, "exit").finally(() => {
      exited = true;
    });
    exit.catch(() => {}); // raised below, where it is awaited
    child.unref();
    for (const stream of child.stdio) if (stream instanceof Socket) stream.unref();
    await log.close();
    for (; !exited && Date.now() < end; await sleep(5)) {
      const postmaster = await this.#findPostmaster();
      if (postmaster !== undefined && (await this.#waitUntilReady(postmaster, end, () => exited))) return postmaster;
    }
    if (exited) await exit;
    return { failure: exited ? (await readFile(logPath, "utf8")).slice(-4_000).trim() : "it took too long" };
  }

  async #waitUntilReady(pid: number, end: number, hasFailed: () => boolean): Promise<boolean> {
    for (; !hasFailed() && Date.now() < end; await sleep(5)) {
      const file = await findPostmasterFile(this.#options.dataDirectory);
      if (file?.pid !== pid) return false;
      if (file.socketDirectory !== "" && file.socketDirectory !== this.#socketDirectory) return false;
      if (file.ready) return this.#answers();
      if (!signalProcess(pid, 0)) return false;
    }
    return false;
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client(toClientConfig({ ...this.connection, database: "postgres" }, undefined));
    try {
      await client.connect();
    } catch {
      client.end().catch(() => {}); // not awaited: of one that was never connected it may never resolve
      return false;
    }
    await client.end();
    return true;
  }

  async #ensureDatabase(): Promise<void> {
    const settings: ConnectionSettings = { ...this.connection, database: "postgres" };
    const client = new pg.Client(toClientConfig(settings, undefined));
    await client.connect();
    try {
      const { rowCount } = await client.query("select from pg_database where datname = $1", [databaseName]);
      if (rowCount === 0) await client.query(`create database ${databaseName}`);
    } catch (error) {
      // another starter made it at the same time
      if (!["42P04", "23505"].includes(sqlStateOf(error) ?? "")) throw error;
    } finally {
      await client.end();
    }
  }

  #restartIfDead(): void {
    this.#restarting ??= this.#checkAndRestart()
      .catch((error: unknown) => {
        this.#options.logger?.warn({ err: error }, "embedded postgres could not be started again");
      })
      .finally(() => {
        this.#restarting = undefined;
      });
  }

  async #checkAndRestart(): Promise<void> {
    if (await isServerProcess(this.#options.dataDirectory, this.#pid)) return;
    if (this.#stopped !== undefined) return;
    this.#options.logger?.warn({ pid: this.#pid }, "embedded postgres died and is started again");
    await this.#run();
  }

  #command(
    program: "initdb" | "postgres",
    args: readonly string[],
    writable: readonly string[],
  ): Promise<PostgresCommand> {
    return createPostgresCommand({
      binaries: this.#binaries,
      program,
      args,
      runtimeDirectory: this.#options.runtimeDirectory,
      writableDirectories: writable,
      uid: this.#uid,
      endWithStarter: program === "initdb" || this.#options.lifetime === "starter",
    });
  }

  async #own(directory: string): Promise<void> {
    await chmod(directory, 0o700);
    if (process.geteuid?.() === 0) await chown(directory, this.#uid, this.#uid);
  }
}

/** The exit code: at "exit", or at "close", when all output has come. */
async function exitOf(child: ChildProcess, command: PostgresCommand, event: "exit" | "close"): Promise<number | null> {
  try {
    const [code] = (await once(child, event)) as [number | null, NodeJS.Signals | null]; // node's own signature
    return code;
  } catch (cause) {
    throw new EmbeddedPostgresError(
      command.wrapped
        ? "the embedded PostgreSQL needs bubblewrap for this user: apt-get install bubblewrap"
        : `${command.file} cannot be run`,
      { cause },
    );
  }
}

async function requireDirectory(path: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isDirectory() !== true) throw new EmbeddedPostgresError(`${path} is not a directory`);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
