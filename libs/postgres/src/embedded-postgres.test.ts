import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  embeddedConnection,
  startEmbeddedPostgres,
} from "./embedded-postgres.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { findServerProcesses } from "./postmaster.ts";
import { prepareDatabase } from "./prepare-database.ts";

const isRoot = process.geteuid?.() === 0;
const sourceFile = new URL("./embedded-postgres.ts", import.meta.url).href;

let root: string;
let data: string;
const servers: EmbeddedPostgres[] = [];
const programs: { kill(signal: NodeJS.Signals): boolean }[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pg-"));
  data = join(root, "data");
});
afterEach(async () => {
  for (const program of programs.splice(0)) program.kill("SIGKILL");
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  if (existsSync(data)) for (const pid of await findServerProcesses(data)) process.kill(pid, "SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDirectory: data, runtimeDirectory: root, ...options });
  servers.push(server);
  return server;
}

async function query(server: EmbeddedPostgres, text: string): Promise<unknown[]> {
  const client = new pg.Client({ ...server.connection });
  client.on("error", () => {}); // the server is killed under it
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** A process of its own that starts the server and says where it is. */
async function startElsewhere(options: Partial<EmbeddedPostgresOptions> & { asUid?: number } = {}) {
  const { asUid, ...rest } = options;
  const program = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(sourceFile)});
    const server = await startEmbeddedPostgres(${JSON.stringify({ dataDirectory: data, runtimeDirectory: root, ...rest })});
    process.on("SIGTERM", () => server.stop().then(() => process.exit(0)));
    console.log(server.pid);
    setInterval(() => {}, 60_000);`;
  const node = [process.execPath, "--input-type=module", "--eval", program];
  const [file = "", ...args] =
    asUid === undefined ? node : ["setpriv", `--reuid=${asUid}`, `--regid=${asUid}`, "--clear-groups", "--", ...node];
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"], env: { PATH: "/usr/bin:/bin" } });
  programs.push(child);
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(() => {
      throw new Error("the program ended");
    }),
  ])) as [string];
  return { child, pid: Number(line) };
}

async function untilGone(pid: number): Promise<void> {
  await expect.poll(() => existsSync(`/proc/${pid}`), { interval: 10, timeout: 10_000 }).toBe(false);
}

const isAnswering = (server: EmbeddedPostgres) =>
  query(server, "select 1").then(
    () => true,
    () => false,
  );

test("it listens on a socket alone, that only its owner can reach, and never runs as root", async () => {
  const server = await start();
  expect(await query(server, "show listen_addresses")).toEqual([{ listen_addresses: "" }]);
  expect(statSync(server.connection.host).mode & 0o777).toBe(0o700);
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
  const uid = isRoot ? 65_531 : process.geteuid?.();
  expect(status).toMatch(new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, "m"));
  expect(status).toMatch(/^CapEff:\t0+$/m);
  expect(statSync(data)).toMatchObject({ uid, mode: 0o40700 });
});

test("what was committed is there after a stop and a start, durably", async () => {
  const first = await start();
  await query(first, "create table kept (id int); insert into kept values (7)");
  await first.stop();
  await first.stop();
  expect(await findServerProcesses(data)).toEqual([]);
  const second = await start();
  expect(await query(second, "select id from kept")).toEqual([{ id: 7 }]);
  expect(await query(second, "show fsync")).toEqual([{ fsync: "on" }]);
  expect(await query(second, "show data_checksums")).toEqual([{ data_checksums: "on" }]);
});

test("a postmaster that is killed is started again with what was committed", async () => {
  const server = await start();
  await query(server, "create table kept (id int); insert into kept values (7)");
  const { pid } = server;
  process.kill(pid, "SIGKILL");
  await expect.poll(() => server.pid, { timeout: 15_000 }).not.toBe(pid);
  expect(await query(server, "select id from kept")).toEqual([{ id: 7 }]);
});

test("starter and server are killed: the next start recovers", async () => {
  const { child, pid } = await startElsewhere();
  const client = new pg.Client({ host: join(root, "postgres"), port: 5432, database: "sandgate", user: "sandgate" });
  client.on("error", () => {});
  await client.connect();
  await client.query("create table kept (id int); insert into kept values (7)");
  child.kill("SIGKILL");
  process.kill(pid, "SIGKILL");
  const server = await start();
  expect(server.pid).not.toBe(pid);
  expect(await query(server, "select id from kept")).toEqual([{ id: 7 }]);
});

test("the starter is killed: the server lives on, and the next start takes it over and can stop it", async () => {
  const { child, pid } = await startElsewhere();
  child.kill("SIGKILL");
  await once(child, "exit");
  const server = await start();
  expect(server.pid).toBe(pid);
  await server.stop();
  expect(await findServerProcesses(data)).toEqual([]);
});

test("with the starter's lifetime it ends when the starter is killed", async () => {
  const { child, pid } = await startElsewhere({ lifetime: "starter", durable: false });
  child.kill("SIGKILL");
  await untilGone(pid);
  expect(await findServerProcesses(data)).toEqual([]);
});

test("a lock file whose pid has passed to another process does not keep it from starting", async () => {
  const first = await start();
  await first.stop();
  // a process of the server's own uid, which PostgreSQL could not tell from a server
  const file = isRoot ? "setpriv" : "sleep";
  const args = isRoot ? ["--reuid=65531", "--regid=65531", "--clear-groups", "sleep", "60"] : ["60"];
  const other = spawn(file, args);
  programs.push(other);
  await once(other, "spawn");
  writeFileSync(join(data, "postmaster.pid"), `${other.pid}\n${data}\n1\n5432\n${root}/postgres\n\n1 1\nready\n`);
  const second = await start();
  expect(second.pid).not.toBe(other.pid);
  expect(await isAnswering(second)).toBe(true);
});

test("a data directory that was being made when its maker was killed is made anew", async () => {
  const dead = spawn("true");
  await once(dead, "exit");
  mkdirSync(join(root, `data.new-${dead.pid}-0`));
  writeFileSync(join(root, `data.new-${dead.pid}-0`, "PG_VERSION"), "18\n");
  await start();
  expect(existsSync(join(root, `data.new-${dead.pid}-0`))).toBe(false);
});

test("two that start at once end up with one server", async () => {
  const [first, second] = await Promise.all([start(), start()]);
  expect(first?.pid).toBe(second?.pid);
});

test("who prepares the database before the server is there waits for it, if he has the patience", async () => {
  const connection = embeddedConnection(root);
  const services = ["auth", "policy"];
  await expect(prepareDatabase({ connection, services })).rejects.toMatchObject({ code: "ENOENT" });
  const waits: unknown[] = [];
  const prepared = services.map((service) =>
    prepareDatabase({
      connection,
      services: [service],
      patienceMs: 60_000,
      onWait: (fault) => waits.push(fault),
    }),
  );
  const server = await start();
  await Promise.all(prepared);
  expect(waits.length).toBe(2);
  expect(
    await query(
      server,
      "select nspname::text as name from pg_namespace where nspname = any('{auth,policy}') order by 1",
    ),
  ).toEqual([{ name: "auth" }, { name: "policy" }]);
});

test("a data directory is copied from an earlier one's beginning: as private, with none of its data", async () => {
  const identify = async (server: EmbeddedPostgres) =>
    query(server, "select system_identifier::text as made from pg_control_system()");
  const first = await start();
  const made = await identify(first);
  await query(first, "create table kept (id int)");
  await first.stop();
  rmSync(data, { recursive: true });
  const second = await start();
  expect(await identify(second)).toEqual(made); // initdb would have made another one
  expect(statSync(data)).toMatchObject({ uid: isRoot ? 65_531 : process.geteuid?.(), mode: 0o40700 });
  expect(await query(second, "select to_regclass('kept') as kept")).toEqual([{ kept: null }]);
});

test("a server whose socket was removed is started again where it can be reached", async () => {
  const { child } = await startElsewhere();
  child.kill("SIGKILL");
  await once(child, "exit");
  rmSync(join(root, "postgres"), { recursive: true });
  expect(await isAnswering(await start())).toBe(true);
});

describe("it refuses, and says what to do,", () => {
  const refusal = (options: Partial<EmbeddedPostgresOptions>) =>
    start(options).then(
      () => undefined,
      (error: unknown) => error,
    );

  test("a data directory with something else in it", async () => {
    mkdirSync(data);
    writeFileSync(join(data, "letter.txt"), "dear");
    const error = await refusal({});
    expect(error).toBeInstanceOf(EmbeddedPostgresError);
    expect(error).toMatchObject({ exitCode: 2, message: `${data} is not empty and holds no PostgreSQL data` });
    expect(readFileSync(join(data, "letter.txt"), "utf8")).toBe("dear");
  });

  test("a data directory of another PostgreSQL", async () => {
    mkdirSync(data);
    writeFileSync(join(data, "PG_VERSION"), "15\n");
    expect(await refusal({})).toMatchObject({ exitCode: 2, message: expect.stringContaining("made by PostgreSQL 15") });
  });

  test("a runtime directory that is missing", async () => {
    expect(await refusal({ runtimeDirectory: join(root, "nowhere") })).toMatchObject({
      exitCode: 2,
      message: `${join(root, "nowhere")} is not a directory`,
    });
  });

  test("a socket path that the kernel would cut", async () => {
    const deep = join(root, "x".repeat(100));
    expect(await refusal({ runtimeDirectory: deep })).toMatchObject({ message: expect.stringContaining("too long") });
  });

  test("relative directories", async () => {
    expect(await refusal({ dataDirectory: "data" })).toMatchObject({ message: expect.stringContaining("absolute") });
  });

  test("a data directory of another uid", async ({ skip }) => {
    if (!isRoot) skip("only root chooses the server's uid");
    await (await start({ durable: false })).stop();
    expect(await refusal({ uid: 65_500 })).toMatchObject({ message: expect.stringContaining("belongs to uid 65531") });
  });
});

describe("an ordinary user", () => {
  // 65534 (nobody) has an entry in every passwd file, 64999 has none
  test.for([
    ["with a passwd entry", 65_534],
    ["without a passwd entry", 64_999],
  ] as const)("%s runs it as himself", async ([, asUid], { skip }) => {
    if (!isRoot) skip("only root can become another user; the other tests run as this one");
    chownSync(root, asUid, asUid);
    const { child, pid } = await startElsewhere({ asUid });
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\\t${asUid}\\t`, "m"));
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
    await untilGone(pid);
  });
});

test("at rest it takes little memory", async () => {
  const server = await start({ durable: false });
  await query(server, "select 1");
  const pids = await findServerProcesses(data);
  const kilobytes = pids.map((pid) =>
    Number(/^Pss:\s+(\d+)/m.exec(execFileSync("cat", [`/proc/${pid}/smaps_rollup`], { encoding: "utf8" }))?.[1]),
  );
  expect(kilobytes.reduce((sum, value) => sum + value, 0)).toBeLessThan(60_000);
  expect(server.pid).toBeGreaterThan(0);
});
