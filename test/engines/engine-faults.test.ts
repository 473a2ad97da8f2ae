import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSocketServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "@sandgate/api/sandbox";
import { buildSupervisor } from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DockerDriver } from "../../services/sandbox/src/drivers/docker/docker-driver.ts";
import { newSandboxId } from "../../services/sandbox/src/drivers/sandbox-driver.contract.ts";

const deadlineMs = 300;
const mebibyte = 1024 * 1024;

describe("D-31: an engine that does not do what it is asked", () => {
  let directory: string;
  let socket: string;
  let driver: DockerDriver;
  let server: Server | undefined;
  const connections = new Set<Socket>();

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "engf-"));
    await chmod(directory, 0o711);
    socket = join(directory, "docker.sock");
    const serviceCaFile = join(directory, "ca.pem");
    await writeFile(serviceCaFile, "none");
    driver = new DockerDriver({
      stateDirectory: join(directory, "s"),
      runtimeDirectory: join(directory, "r"),
      files: await buildSupervisor(join(directory, "bundle")),
      socket,
      defaultImage: "sandgate.test/busybox:1",
      allowedImages: [],
      minimumIsolation: "container",
      limits: { memoryBytes: 128 * mebibyte, cpus: 1, temporaryBytes: mebibyte, workspaceBytes: undefined },
      settings: {
        serviceCaFile,
        authServerName: "none",
        sandboxServerName: "none",
        policyServerName: "none",
        sockets: { enrol: "enrol.sock", auth: "control.sock", sandbox: "control.sock", policy: "control.sock" },
      },
      engineDeadlineMs: deadlineMs,
      watchPauseMs: 20,
    });
  });
  afterAll(async () => {
    await driver.close();
    await rm(directory, { recursive: true, force: true });
  });

  const listen = async (made: Server): Promise<void> => {
    server = made.on("connection", (connection) => connections.add(connection));
    await new Promise<void>((resolve) => made.listen(socket, resolve));
  };
  const end = async (): Promise<void> => {
    for (const connection of connections) connection.destroy();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    server = undefined;
  };
  const http = (answer: RequestListener) => () => listen(createServer(answer));
  const startOf = (sandboxId: string) => ({
    sandboxId,
    incarnation: 1n,
    name: "demo",
    spec: create(SandboxSpecSchema),
    bootstrapToken: "a-secret-of-this-test",
  });

  it.each([
    ["is not there", async () => {}, "the container engine cannot be reached"],
    ["never answers", () => listen(createSocketServer(() => {})), "the container engine does not answer"],
    [
      "hangs up",
      () => listen(createSocketServer((connection) => connection.destroy())),
      "the container engine cannot be reached",
    ],
    [
      "speaks something else",
      () => listen(createSocketServer((connection) => connection.end("SSH-2.0-dropbear\r\n"))),
      "the container engine cannot be reached",
    ],
    [
      "answers with errors",
      http((_, response) => response.writeHead(500).end('{"message":"no space left on device"}')),
      "the container engine refuses what it is asked",
    ],
    [
      "begins an answer and does not end it",
      http((_, response) => void response.writeHead(200, { "content-type": "application/json" }).write('{"Runtimes":')),
      "the container engine does not answer",
    ],
  ])("%s: the refusal says so in time, and nothing hangs", async (_, open, fault) => {
    await open();
    const id = newSandboxId();
    try {
      const { refusal } = await driver.isolation();
      expect(refusal).toEqual({ fault, mend: `docker --host unix://${socket} info` });
      await driver.prepare(id);
      for (const work of [
        () => driver.start(startOf(id)),
        () => driver.stop({ sandboxId: id, graceMs: 0 }),
        () => driver.destroy(id),
        () => driver.list(),
      ]) {
        const said = await work().then(
          () => "done",
          (cause: unknown) => cause,
        );
        expect(said).toMatchObject({ message: fault, mayPass: true });
        expect(JSON.stringify(said)).not.toContain("a-secret-of-this-test");
      }
    } finally {
      await end();
    }
  });

  it.each([
    [{ OSType: "windows" }, "the engine does not run Linux containers"],
    [{ SecurityOptions: ["name=rootless"] }, "the engine gives containers other user ids"],
    [
      { SecurityOptions: ["name=seccomp,profile=default", "name=userns"] },
      "the engine gives containers other user ids",
    ],
  ])("that says %j is refused before anything is tried", async (info, fault) => {
    await http((_, response) => response.setHeader("content-type", "application/json").end(JSON.stringify(info)))();
    try {
      expect((await driver.isolation()).refusal?.fault).toContain(fault);
    } finally {
      await end();
    }
  });
});
