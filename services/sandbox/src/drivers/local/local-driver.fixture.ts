import { execFile } from "node:child_process";
import { chmod, chown, copyFile, link, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BuiltSupervisor, buildSupervisor, type FakeControlPlane } from "@sandgate/testing";
import { expect } from "vitest";
import type { DriverChoice } from "../driver-host.fixture.ts";
import { bundleDriverHost, startDriverHost } from "../driver-process.fixture.ts";
import type { DriverUnderTest } from "../sandbox-driver.contract.ts";
import { pathsOf, processesOf } from "../sandbox-traces.fixture.ts";

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
  /** Kills what waits outside of the sandbox for its end, with SIGKILL. */
  killKeeper(sandboxId: string): void;
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
  const host = await bundleDriverHost(directory);
  const [stateDirectory, runtimeDirectory] = [join(directory, "s"), join(directory, "r")];
  if (account.uid !== undefined) await chown(directory, account.uid, account.uid);

  const serviceCaFile = join(directory, "service-ca.pem");
  await writeFile(serviceCaFile, "none");
  let serverName = "none";
  let running = startDriverHost({ node, host, name: "local", uid: account.uid });
  const open = (): Promise<unknown> =>
    running.call("open", {
      kind: "local",
      options: {
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
      },
    } satisfies DriverChoice);
  await open();

  return {
    stateDirectory,
    files,
    takeSpare: async (sandboxId) => {
      await running.call("keepSpare", sandboxId);
      await expect.poll(() => running.call("takeSpare"), { interval: 5, timeout: 20_000 }).toBe(sandboxId);
    },
    runtime: ["/opt/sandgate/bin/node"],
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
      running = startDriverHost({ node, host, name: "local", uid: account.uid });
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
