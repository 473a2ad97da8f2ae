import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, chown, copyFile, link, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BuiltSupervisor, buildSupervisor, type FakeControlPlane } from "@sandgate/testing";
import { build } from "esbuild";
import { expect } from "vitest";
import type { DriverUnderTest } from "../sandbox-driver.contract.ts";
import type { DriverExit, SandboxDriver } from "../sandbox-driver.ts";
import type { LocalDriverOptions } from "./local-driver.ts";

/** As whom a driver runs. */
export interface DriverAccount {
  readonly name: string;
  /** Undefined: as who the tests run as. */
  readonly uid: number | undefined;
}

/** Both ways where the tests run as root; else the one there is. */
export const driverAccounts: readonly DriverAccount[] =
  process.getuid?.() === 0
    ? [
        { name: "as root", uid: undefined },
        { name: "as an ordinary user", uid: 64_321 },
      ]
    : [{ name: "as an ordinary user", uid: undefined }];

/** A local driver under test, with what a test looks at. */
export interface LocalDriverUnderTest extends DriverUnderTest {
  readonly stateDirectory: string;
  readonly files: BuiltSupervisor;
  /** Has the driver make a spare sandbox with this id and takes it. */
  takeSpare(sandboxId: string): Promise<void>;
}

/** Starts a local driver in a process of its own. */
export async function startLocalDriver(account: DriverAccount): Promise<LocalDriverUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "drv-"));
  await chmod(directory, 0o711);
  const built = await buildSupervisor(join(directory, "bundle"));
  const node = join(directory, "bundle", "node");
  await link(built.node, node).catch(() => copyFile(built.node, node)); // an ordinary user cannot reach every folder that a project may lie in
  const files = { ...built, node };
  const host = join(directory, "driver-host.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("./driver-host.fixture.ts", import.meta.url))],
    outfile: host,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    logLevel: "warning",
  });
  const [stateDirectory, runtimeDirectory] = [join(directory, "s"), join(directory, "r")];
  if (account.uid !== undefined) await chown(directory, account.uid, account.uid);

  const serviceCaFile = join(directory, "service-ca.pem");
  await writeFile(serviceCaFile, "none");
  let serverName = "none";
  let running = startHost({ node, host, account });
  const open = (): Promise<unknown> =>
    running.call("open", {
      stateDirectory,
      runtimeDirectory,
      files,
      adoptedCheckMs: 20,
      settings: {
        serviceCaFile,
        authServerName: serverName,
        sandboxServerName: serverName,
        policyServerName: serverName,
        sockets: { enrol: "enrol.sock", auth: "control.sock", sandbox: "control.sock", policy: "control.sock" },
      },
    } satisfies LocalDriverOptions);
  await open();

  return {
    stateDirectory,
    files,
    takeSpare: async (sandboxId) => {
      await running.call("keepSpare", sandboxId);
      await expect.poll(() => running.call("takeSpare"), { interval: 5, timeout: 20_000 }).toBe(sandboxId);
    },
    get driver() {
      return running.driver;
    },
    trust: async (plane: FakeControlPlane) => {
      ({ serverName } = plane);
      await writeFile(serviceCaFile, plane.serviceCa);
      await open();
    },
    crash: async (meanwhile) => {
      await running.kill();
      meanwhile?.();
      running = startHost({ node, host, account });
      await open();
    },
    tracesOf: async (sandboxId) => [
      ...processesOf(sandboxId).map(({ pid, text }) => `process ${pid}: ${text}`),
      ...(await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(sandboxId)),
      ...(await pathsOf(directory, sandboxId)),
    ],
    killSupervisor: (sandboxId) => {
      for (const { pid, supervisor } of borderOf(sandboxId)) if (supervisor) process.kill(pid, "SIGKILL");
    },
    killKeeper: (sandboxId) => {
      for (const { pid, keeper } of borderOf(sandboxId)) if (keeper) process.kill(pid, "SIGKILL");
    },
    leaveOrphan: async (sandboxId) => {
      const init = borderOf(sandboxId).find((each) => each.init);
      const into = ["--target", String(init?.pid), "--pid"];
      if (process.getuid?.() !== 0) into.push("--user", "--preserve-credentials");
      // its parent ends at once: from then on it is a child of the sandbox's init
      await promisify(execFile)("nsenter", [
        ...into,
        "--",
        "sh",
        "-c",
        `sh -c "sleep 1000; :" ${sandboxId} >/dev/null 2>&1 &`,
      ]);
    },
    close: async () => {
      await running.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface DriverHost {
  readonly driver: SandboxDriver;
  call(call: string, argument?: unknown): Promise<unknown>;
  kill(): Promise<void>;
}

/** The program of driver-host.fixture.ts, as a driver. */
function startHost({ node, host, account }: { node: string; host: string; account: DriverAccount }): DriverHost {
  const own = [node, host];
  const { uid } = account;
  const [file = node, ...args] =
    uid === undefined
      ? own
      : ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups", "--", ...own];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
  child.stdin.on("error", () => {});
  const pending = new Map<number, { resolve: (answer: unknown) => void; reject: (cause: Error) => void }>();
  const listeners = new Set<(exit: DriverExit) => void>();
  let serial = 0;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message: { id?: number; answer?: unknown; fault?: string; exit?: DriverExit } = JSON.parse(
      line,
      (_, value) => (typeof value === "object" && value !== null && "bigint" in value ? BigInt(value.bigint) : value),
    );
    if (message.exit !== undefined) for (const listener of listeners) listener(message.exit);
    const waiting = pending.get(message.id ?? 0);
    if (message.fault === undefined) waiting?.resolve(message.answer);
    else waiting?.reject(new Error(message.fault));
  });
  child.once("exit", () => {
    for (const { reject } of pending.values()) reject(new Error("the driver's process has ended"));
  });
  const call = <T>(name: string, argument?: unknown): Promise<T> => {
    serial += 1;
    const id = serial;
    const bigints = (_: string, value: unknown): unknown =>
      typeof value === "bigint" ? { bigint: String(value) } : value;
    return new Promise<T>((resolve, reject) => {
      pending.set(id, { resolve: (answer) => resolve(answer as T), reject });
      child.stdin.write(`${JSON.stringify({ id, call: name, argument }, bigints)}\n`);
    }).finally(() => pending.delete(id));
  };
  return {
    call,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
    driver: {
      name: "local",
      isolation: () => call("isolation"),
      prepare: (sandboxId) => call("prepare", sandboxId),
      start: (start) => call("start", start),
      stop: (request) => call("stop", request),
      destroy: (sandboxId) => call("destroy", sandboxId),
      list: () => call("list"),
      onExit: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: async () => {},
    },
  };
}

interface SandboxProcess {
  readonly pid: number;
  readonly parent: number;
  readonly text: string;
  /** Pids from this test's namespace inwards. */
  readonly pids: readonly string[];
}

/** Every process that has the sandbox's id in its arguments or environment, or sees its directories. */
function processesOf(sandboxId: string): readonly SandboxProcess[] {
  return readdirSync("/proc").flatMap((name): SandboxProcess[] => {
    if (!/^\d+$/.test(name)) return [];
    const read = (file: string): string => {
      try {
        return readFileSync(`/proc/${name}/${file}`, "latin1");
      } catch {
        return "";
      }
    };
    const text = read("cmdline").replaceAll("\0", " ");
    if (![text, read("environ"), read("mountinfo")].some((content) => content.includes(sandboxId))) return [];
    const status = read("status");
    if (/^State:\s+Z/m.test(status) || status === "") return [];
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
    const pids = /^NSpid:\s+(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/) ?? [];
    return [{ pid: Number(name), parent, text: text.slice(0, 200), pids }];
  });
}

function borderOf(sandboxId: string): readonly { pid: number; keeper: boolean; init: boolean; supervisor: boolean }[] {
  const processes = processesOf(sandboxId);
  const init = processes.find(({ pids }) => pids.length === 2 && pids[1] === "1");
  return processes.map(({ pid, parent, pids, text }) => ({
    pid,
    keeper: pids.length === 1 && text.includes("bwrap"),
    init: pid === init?.pid,
    supervisor: parent === init?.pid && text.includes("supervisor.mjs"),
  }));
}

async function pathsOf(directory: string, sandboxId: string): Promise<readonly string[]> {
  const parents = ["s/sandboxes", "r/control", "r/egress"].map((path) => join(directory, path));
  const names = await Promise.all(parents.map((parent) => readdir(parent).catch(() => [])));
  return parents.flatMap((parent, index) =>
    (names[index] ?? []).filter((name) => name === sandboxId).map((name) => join(parent, name)),
  );
}
