import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildSupervisor, type FakeControlPlane } from "@sandgate/testing";
import { expect, vi } from "vitest";
import type { DriverChoice } from "../driver-host.fixture.ts";
import { bundleDriverHost, startDriverHost } from "../driver-process.fixture.ts";
import type { DriverUnderTest } from "../sandbox-driver.contract.ts";
import { pathsOf, processesOf } from "../sandbox-traces.fixture.ts";
import type { DockerDriverOptions } from "./docker-driver.ts";
import { images, type TestEngine } from "./docker-engine.fixture.ts";

const mebibyte = 1024 * 1024;

/** A Docker driver under test, with what a test looks at. */
export interface DockerDriverUnderTest extends DriverUnderTest {
  readonly stateDirectory: string;
  /** Opens the driver anew with other settings. */
  reopen(change: Partial<DockerDriverOptions>): Promise<void>;
}

/** Starts a Docker driver in a process of its own, for an engine. */
export async function startDockerDriver(
  engine: Pick<TestEngine, "socket" | "docker">,
  change: Partial<DockerDriverOptions> = {},
): Promise<DockerDriverUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "ddr-"));
  const files = await buildSupervisor(join(directory, "bundle"));
  const host = await bundleDriverHost(directory);
  const stateDirectory = join(directory, "s");
  const serviceCaFile = join(directory, "service-ca.pem");
  await writeFile(serviceCaFile, "none");
  let serverName = "none";
  let changed = change;
  const launch = () => startDriverHost({ node: files.node, host, name: "docker" });
  let running = launch();
  const open = (): Promise<unknown> =>
    running.call("open", {
      kind: "docker",
      options: {
        stateDirectory,
        runtimeDirectory: join(directory, "r"),
        files,
        socket: engine.socket,
        defaultImage: images.busybox,
        allowedImages: [
          images.linkedRun,
          images.linkedOpt,
          images.bare,
          images.perl,
          images.hostile,
          images.overlaid,
          "sandgate.test/absent:*",
        ],
        minimumIsolation: "container",
        limits: {
          memoryBytes: 256 * mebibyte,
          cpus: 1,
          temporaryBytes: 16 * mebibyte,
          workspaceBytes: undefined,
        },
        settings: {
          serviceCaFile,
          authServerName: serverName,
          sandboxServerName: serverName,
          policyServerName: serverName,
          sockets: { enrol: "enrol.sock", auth: "control.sock", sandbox: "control.sock", policy: "control.sock" },
        },
        watchPauseMs: 20,
        ...changed,
      },
    } satisfies DriverChoice);
  await open();

  return {
    stateDirectory,
    runtime: [...["/opt/sandgate/lib/ld.so", "--library-path", "/opt/sandgate/lib"], "/opt/sandgate/programs/node"],
    reopen: async (change) => {
      changed = { ...changed, ...change };
      await open();
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
      running = launch();
      await open();
    },
    tracesOf: async (sandboxId) => {
      const filters = { label: [`dev.sandgate.sandbox=${sandboxId}`] };
      const containers = await engine.docker.listContainers({ all: true, filters });
      // what an engine has watch a container ends a moment after it
      if (containers.length === 0)
        await vi.waitFor(() => expect(processesOf(sandboxId)).toEqual([]), 5_000).catch(() => {}); // said below
      return [
        ...processesOf(sandboxId).map(({ pid, text }) => `process ${pid}: ${text}`),
        ...containers.map(({ Id }) => `container ${Id}`),
        ...(await pathsOf(directory, sandboxId)),
      ];
    },
    killSupervisor: (sandboxId) => {
      for (const { pid, text, pids } of processesOf(sandboxId))
        if (text.includes("supervisor.mjs") && pids[1] !== "1") process.kill(pid, "SIGKILL");
    },
    leaveOrphan: async (sandboxId) => {
      const init = processesOf(sandboxId).find(({ pids }) => pids.length === 2 && pids[1] === "1");
      // its parent ends at once: from then on it is a child of the container's init
      await promisify(execFile)("nsenter", [
        ...["--target", String(init?.pid), "--pid", "--", "sh", "-c"],
        `sh -c "sleep 1000; :" ${sandboxId} >/dev/null 2>&1 &`,
      ]);
    },
    close: async () => {
      await running.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
