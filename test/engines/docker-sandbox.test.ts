import { readFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExitReason, SandboxSpecSchema } from "@sandgate/api/sandbox";
import { createFakeControlPlane, type FakeControlPlane, type FakeSession } from "@sandgate/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { supervisorCapabilities } from "../../services/sandbox/src/drivers/docker/container-options.ts";
import {
  type DockerDriverUnderTest,
  startDockerDriver,
} from "../../services/sandbox/src/drivers/docker/docker-driver.fixture.ts";
import { unframe } from "../../services/sandbox/src/drivers/docker/docker-driver.ts";
import {
  type ContainerFacts,
  images,
  startEngine,
  type TestEngine,
} from "../../services/sandbox/src/drivers/docker/docker-engine.fixture.ts";
import { newSandboxId } from "../../services/sandbox/src/drivers/sandbox-driver.contract.ts";
import type { DriverExit } from "../../services/sandbox/src/drivers/sandbox-driver.ts";
import { processesOf } from "../../services/sandbox/src/drivers/sandbox-traces.fixture.ts";

const mebibyte = 1024 * 1024;
type Spec = MessageInitShape<typeof SandboxSpecSchema>;

interface Running {
  readonly id: string;
  readonly plane: FakeControlPlane;
  readonly session: FakeSession;
  /** Runs a command to its end. */
  run(
    command: readonly string[],
    more?: { environment?: Record<string, string>; workingDirectory?: string },
  ): ReturnType<ReturnType<FakeControlPlane["exec"]>["collect"]>;
  sh(script: string): ReturnType<Running["run"]>;
  inspect(): Promise<ContainerFacts>;
}

describe.each(["docker", "podman"] as const)("with the engine %s,", (kind) => {
  let engine: TestEngine;
  let subject: DockerDriverUnderTest;
  const planes: FakeControlPlane[] = [];
  const ids: string[] = [];

  beforeAll(async () => {
    engine = await startEngine(kind);
    subject = await startDockerDriver(engine);
  });
  afterAll(async () => {
    await subject.close();
    await engine.close();
  });

  /** Removes what tests have started. */
  const clear = async (): Promise<void> => {
    for (const id of ids.splice(0)) await subject.driver.destroy(id);
    for (const plane of planes.splice(0)) await plane.close();
  };

  const containerOf = async (id: string): Promise<string> => {
    const found = await engine.docker.listContainers({ all: true, filters: { label: [`dev.sandgate.sandbox=${id}`] } });
    return found[0]?.Id ?? "";
  };

  const start = async (spec: Spec = {}): Promise<Running> => {
    const id = newSandboxId();
    ids.push(id);
    const plane = await createFakeControlPlane(id);
    planes.push(plane);
    await subject.trust(plane);
    const { controlDirectory } = await subject.driver.prepare(id);
    await plane.open(controlDirectory);
    const { bootstrapToken } = plane;
    await subject.driver.start({
      sandboxId: id,
      incarnation: 1n,
      name: "demo",
      spec: create(SandboxSpecSchema, spec),
      bootstrapToken,
    });
    const session = await plane.session();
    const run: Running["run"] = (command, more = {}) =>
      plane.exec(session, { command: [...command], ...more }).collect();
    return {
      id,
      plane,
      session,
      run,
      sh: (script) => run(["sh", "-c", script]),
      inspect: async () => engine.docker.getContainer(await containerOf(id)).inspect(),
    };
  };

  /** The names of the variables that a sandbox's supervisor has. */
  const supervisorEnvironment = (id: string): readonly string[] => {
    const supervisor = processesOf(id).find(({ text, pids }) => text.includes("supervisor.mjs") && pids[1] !== "1");
    const lines = readFileSync(`/proc/${supervisor?.pid}/environ`, "latin1").split("\0");
    return lines.filter((line) => line !== "").map((line) => line.slice(0, line.indexOf("=")));
  };

  const nextExit = (): Promise<DriverExit> =>
    new Promise((resolve) => {
      const end = subject.driver.onExit((exit) => {
        end();
        resolve(exit);
      });
    });

  describe("a container that the docker driver makes", () => {
    let sandbox: Running;
    let info: ContainerFacts;
    beforeAll(async () => {
      sandbox = await start({ limits: { openFiles: 200, processes: 100 } });
      info = await sandbox.inspect();
    });
    afterAll(clear);

    if (kind === "docker")
      it("S0-24, S0-26, S0-27, S0-28, D-26: is as closed as an engine can make it", () => {
        const { HostConfig, Config, Image } = info;
        expect(HostConfig).toMatchObject({
          NetworkMode: "none",
          IpcMode: "private",
          Privileged: false,
          ReadonlyRootfs: true,
          CapDrop: ["ALL"],
          SecurityOpt: ["no-new-privileges"],
          Init: true,
          RestartPolicy: { Name: "no" },
          AutoRemove: false,
          Memory: 256 * mebibyte,
          MemorySwap: 256 * mebibyte,
          CpuPeriod: 100_000,
          CpuQuota: 100_000,
          PidsLimit: 148,
          OomKillDisable: false,
          PidMode: "",
          UTSMode: "",
          UsernsMode: "",
          Devices: null,
          PortBindings: null,
          Binds: null,
        });
        expect(HostConfig.CapAdd).toEqual(["KILL", "SETGID", "SETPCAP", "SETUID"]);
        expect(HostConfig.Ulimits).toEqual([
          { Name: "nofile", Soft: 200, Hard: 200 },
          { Name: "core", Soft: 0, Hard: 0 },
        ]);
        for (const options of Object.values(HostConfig.Tmpfs ?? {}))
          expect(options).toMatch(/^rw,nosuid,nodev,size=\d+,(no)?exec,mode=\d+/);
        expect(Config.Healthcheck).toEqual({ Test: ["NONE"] });
        expect(Image).toMatch(/^sha256:/);
        expect(info.Config.Image).toBe(Image); // by its content, not by a name that may come to mean another
      });

    it("S0-29, D-20, D-31: sees of the machine its own directories alone, and no engine", () => {
      const mounts = info.Mounts.map(
        ({ Destination, RW, Type }) => `${Type} ${Destination} ${RW ? "rw" : "ro"}`,
      ).sort();
      expect(mounts).toEqual([
        "bind /etc/group ro",
        "bind /etc/hosts ro",
        "bind /etc/ld.so.preload ro",
        "bind /etc/nsswitch.conf ro",
        "bind /etc/passwd ro",
        "bind /etc/resolv.conf ro",
        "bind /opt/sandgate ro",
        "bind /run/sandgate/bootstrap rw",
        "bind /run/sandgate/control ro",
        "bind /run/sandgate/egress ro",
        "bind /run/sandgate/log rw",
        "bind /workspace rw",
      ]);
      for (const { Source, Destination } of info.Mounts)
        if (Destination.startsWith("/run/sandgate") || Destination === "/workspace")
          expect(Source).toContain(sandbox.id);
    });

    it("S0-21, D-29: is labelled with what it is, and with nothing else", () => {
      expect(info.Name).toBe(`/sandgate-${sandbox.id}`);
      expect(info.Config.Labels).toEqual({
        "dev.sandgate.suite": expect.stringMatching(/^[0-9a-f]{12}$/),
        "dev.sandgate.sandbox": sandbox.id,
        "dev.sandgate.incarnation": "1",
      });
    });

    it("D-22: nobody finds the bootstrap token: not in the engine, the log, an environment, an argument or a file", async () => {
      const token = sandbox.plane.bootstrapToken;
      const secrets = [token, ...sandbox.plane.issued];
      const told = JSON.stringify(info);
      const log = String(await engine.docker.getContainer(info.Id).logs({ stdout: true, stderr: true, follow: false }));
      const top = JSON.stringify(await engine.docker.getContainer(info.Id).top({ ps_args: "auxeww" }));
      const { stdout: inside } = await sandbox.sh(
        "env; cat /proc/*/cmdline /proc/*/environ 2> /dev/null | tr '\\0' '\\n'; cat /proc/self/mountinfo",
      );
      for (const secret of secrets)
        for (const text of [told, log, top, inside, engine.log()]) expect(text).not.toContain(secret);
      expect(await readdir(join(subject.stateDirectory, "sandboxes", sandbox.id, "bootstrap"))).not.toContain("token");
      expect(supervisorEnvironment(sandbox.id)).toEqual(["PATH"]);
    });

    it("D-25: runs the workload as a user without any capability, who can gain none", async () => {
      const { stdout } = await sandbox.sh(
        "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status",
      );
      const none = "\t0000000000000000\n";
      expect(stdout).toBe(
        `65532\n65532\nGroups:\t \n${["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => `Cap${set}:${none}`).join("")}NoNewPrivs:\t1\nSeccomp:\t2\n`,
      );
    });

    it.each([
      ["signal the supervisor", "kill -9 1 || kill -9 $(pgrep -f supervisor.mjs)"],
      ["become root", "su -c id || busybox su root -c id"],
      ["mount", "mount -t tmpfs none /tmp"],
      ["make namespaces", "unshare -U true || unshare -n true"],
      ["write to the system", "touch /bin/x || touch /etc/x || touch /opt/sandgate/x || touch /x"],
      ["make a device", "mknod /tmp/disk b 254 0"],
      ["enter the supervisor's directories", "ls /run/sandgate || ls /opt/sandgate/supervisor"],
      [
        "see into the supervisor",
        "cat /proc/1/environ || ls /proc/1/fd/ || cat /proc/1/maps || ls /proc/1/root/run/sandgate",
      ],
      ["leave the network", "wget -T 2 -Y off -O- http://1.1.1.1/ || nslookup example.com 1.1.1.1"],
      ["change kernel settings", "echo 1 > /proc/sys/vm/drop_caches || echo b > /proc/sysrq-trigger"],
    ])("S1-12, S1-17: the workload cannot %s", async (_, script) => {
      const { exit } = await sandbox.sh(script);
      expect(exit?.code).not.toBe(0);
      expect((await sandbox.sh("echo alive")).stdout).toBe("alive\n");
    });

    it("reaps what the workload leaves behind", async () => {
      await sandbox.sh("for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.01' &) ; done");
      await vi.waitFor(async () => {
        const { stdout } = await sandbox.sh("grep -l '^State:.Z' /proc/[0-9]*/status 2> /dev/null | wc -l");
        expect(stdout).toBe("0\n");
      }, 5_000);
    });

    it("does not wait for what outlives a command in a session of its own", async () => {
      const { stdout, exit } = await sandbox.sh("setsid sleep 1000 & echo done");
      expect({ stdout, code: exit?.code }).toEqual({ stdout: "done\n", code: 0 });
    });

    it("gives a command its directory, its variables, a status and a signal as any driver does", async () => {
      await sandbox.sh("mkdir -p /workspace/sub");
      const more = { workingDirectory: "sub", environment: { GREETING: "hello, = world" } };
      expect((await sandbox.run(["sh", "-c", "pwd; echo $GREETING $FROM_IMAGE; exit 7"], more)).stdout).toBe(
        "/workspace/sub\nhello, = world yes\n",
      );
      expect((await sandbox.run(["sh", "-c", "exit 7"])).exit).toMatchObject({ reason: ExitReason.EXITED, code: 7 });
      expect((await sandbox.run(["sh", "-c", "kill -TERM $$"])).exit).toMatchObject({ signal: "SIGTERM" });
      expect((await sandbox.run(["no-such-program"])).exit).toMatchObject({ code: 127 });
      expect((await sandbox.sh("echo out > /dev/stdout; echo err > /dev/stderr")).stderr).toBe("err\n");
    });

    it("gives a terminal that can be opened by name", async () => {
      const exec = sandbox.plane.exec(sandbox.session, {
        command: ["sh", "-c", "stty size; echo named > $(tty); echo controlled > /dev/tty"],
        terminal: { rows: 40, columns: 100 },
      });
      expect((await exec.collect()).stdout.replaceAll("\r", "")).toBe("40 100\nnamed\ncontrolled\n");
    });
  });

  describe("the limits of a container", () => {
    afterEach(clear);

    it("S0-26: ends what takes more memory than there is, says why, and lives on", async () => {
      const sandbox = await start();
      const hog = await sandbox.sh("exec tail /dev/zero");
      expect(hog.exit).toMatchObject({ reason: ExitReason.OUT_OF_MEMORY, signal: "SIGKILL" });
      const shell = await sandbox.sh("tail /dev/zero; exit $?");
      expect(shell.exit).toMatchObject({ reason: ExitReason.OUT_OF_MEMORY, signal: "SIGKILL" });
      const killed = await sandbox.sh("kill -9 $$");
      expect(killed.exit).toMatchObject({ reason: ExitReason.SIGNALLED, signal: "SIGKILL" });
      expect((await sandbox.inspect()).State.Running).toBe(true);
    });

    it("S0-26: stops a fork bomb at the limit, and ends it", async () => {
      const sandbox = await start({ limits: { processes: 20 } });
      const bomb = sandbox.plane.exec(sandbox.session, { command: ["sh", "-c", "b() { b | b & }; b; sleep 1000"] });
      let said = "";
      for await (const { output } of bomb.outputs) {
        if (output.case === "stderr") said += Buffer.from(output.value).toString();
        if (said.includes("can't fork")) break;
      }
      expect(said).toContain("Resource temporarily unavailable");
      const { pids_stats } = await engine.docker.getContainer(await containerOf(sandbox.id)).stats({ stream: false });
      expect(pids_stats?.current).toBeLessThanOrEqual(68);
      bomb.abandon();
      await vi.waitFor(async () => {
        const { stdout, startFault } = await sandbox.sh("echo alive");
        expect({ stdout, startFault }).toEqual({ stdout: "alive\n", startFault: undefined });
      }, 10_000);
    });

    it("S0-28: stops what fills /tmp, and what writes a file that is too large", async () => {
      const sandbox = await start({ limits: { fileSizeBytes: BigInt(2 * mebibyte) } });
      const filler = await sandbox.sh("i=0; while dd if=/dev/zero of=/tmp/f$i bs=1M count=1 2>&1; do i=$((i+1)); done");
      expect(filler.stdout).toContain("No space left on device");
      await sandbox.sh("rm /tmp/f*");
      const large = await sandbox.sh("exec dd if=/dev/zero of=/workspace/large bs=1M count=3");
      expect(large.exit).toMatchObject({ reason: ExitReason.LIMIT, signal: "SIGXFSZ" });
    });

    it("D-26: bounds the workspace where the operator says how large it is", async () => {
      await subject.reopen({
        limits: { memoryBytes: 256 * mebibyte, cpus: 1, temporaryBytes: 16 * mebibyte, workspaceBytes: 4 * mebibyte },
      });
      const sandbox = await start();
      const filler = await sandbox.sh("dd if=/dev/zero of=/workspace/large bs=1M count=8");
      expect(filler.stderr).toContain("No space left on device");
      expect((await subject.driver.isolation()).gaps.map(({ name }) => name)).not.toContain("disk");
      await subject.reopen({
        limits: { memoryBytes: 256 * mebibyte, cpus: 1, temporaryBytes: 16 * mebibyte, workspaceBytes: undefined },
      });
    });
  });

  describe("a supervisor's capabilities", () => {
    /** What a supervisor does with a process of its workload, and what comes of it with these capabilities. */
    const tryWith = async (capabilities: readonly string[]): Promise<unknown> => {
      const [bundle = ""] = await readdir(join(subject.stateDirectory, "bundle"));
      const loader = ["/opt/sandgate/lib/ld.so", "--library-path", "/opt/sandgate/lib"];
      const program = (name: string) => [...loader, `/opt/sandgate/programs/${name}`];
      const drop = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"];
      const become = [...program("setpriv"), "--reuid", "65532", "--regid", "65532", "--clear-groups", ...drop];
      const script = `
      const { spawn } = require("node:child_process");
      const [file, ...args] = ${JSON.stringify([...become, "/bin/sh", "-c", "grep CapBnd /proc/self/status; exec sleep 100"])};
      const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
      let said = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => {
        said += data;
        if (!said.includes("CapBnd")) return;
        try { process.kill(child.pid, "SIGKILL"); said += "killed"; } catch (error) { said += error.code; }
        console.log(said);
        process.exit(0);
      });
      child.on("exit", () => console.log(said));
    `;
      const container = await engine.docker.createContainer({
        Image: images.busybox,
        Entrypoint: [...program("node"), "-e", script],
        HostConfig: {
          NetworkMode: "none",
          Init: true,
          CapDrop: ["ALL"],
          CapAdd: [...capabilities],
          SecurityOpt: ["no-new-privileges"],
          Ulimits: [{ Name: "nofile", Soft: 1_000, Hard: 1_000 }],
          Binds: [`${join(subject.stateDirectory, "bundle", bundle)}:/opt/sandgate:ro`],
        },
      });
      try {
        await container.start();
        await container.wait();
        return unframe(await container.logs({ stdout: true, follow: false }));
      } finally {
        await container.remove({ force: true });
      }
    };
    const without = (name: string) => tryWith(supervisorCapabilities.filter((each) => each !== name));

    beforeAll(async () => {
      await start(); // the bundle is there now
      await clear();
    });

    it("suffice to start and stop the workload", async () => {
      expect(await tryWith(supervisorCapabilities)).toBe("CapBnd:\t0000000000000000\nkilled\n");
    });

    it.each([
      ["SETUID", /setresuid failed: Operation not permitted/],
      ["SETGID", /set(resgid|groups)[a-z ]*failed: Operation not permitted/],
      ["SETPCAP", /^CapBnd:\t00000000000000e0\n/], // the workload would keep what the supervisor has as what it may ever get
      ["KILL", /EPERM/],
    ])("D-25: are each needed: %s", async (name, consequence) => {
      expect(await without(name)).toMatch(consequence);
    });
  });

  describe("an image", () => {
    afterEach(clear);

    it("S1-12: brings no way past the network namespace: every workload has a filter on top of the engine's", async () => {
      const { run } = await start({ image: images.perl });
      // unix, inet, inet6; packet, tipc, bluetooth, alg, vsock (the hypervisor), xdp
      const script =
        "for (1, 2, 10, 17, 30, 31, 38, 40, 44) { print socket(my $s, $_, 1, 0) ? qq($_\\n) : qq($_ $!\\n) }";
      const { stdout } = await run(["/usr/bin/perl", "-e", script]);
      const refused = "Address family not supported by protocol";
      expect(stdout.trim().split("\n")).toEqual([
        ...["1", "2", "10"],
        ...[17, 30, 31, 38, 40, 44].map((family) => `${family} ${refused}`),
      ]);
    });

    it("may have no shell, no C library, no directory and another user", async () => {
      const sandbox = await start({ image: images.bare });
      expect((await sandbox.session.confinement).checks.filter(({ confined }) => !confined)).toEqual([]);
      expect((await sandbox.run(["/app/busybox", "id", "-u"])).stdout).toBe("65532\n");
    });

    it("cannot become the supervisor by names, libraries, variables or an entry point", async () => {
      const sandbox = await start({ image: images.hostile });
      const { checks } = await sandbox.session.confinement;
      expect(checks.filter(({ confined }) => !confined)).toEqual([]);
      expect(checks.map(({ name }) => name)).not.toContain("forged");
      expect(supervisorEnvironment(sandbox.id)).toEqual(["PATH"]);
      const { stdout } = await sandbox.sh(
        "id -u; cat /etc/ld.so.preload; env | grep -E '^(LD_PRELOAD|SANDGATE_SANDBOX)'",
      );
      expect(stdout).toBe("65532\nLD_PRELOAD=/evil.so\n"); // its own affair, as long as it is the workload's
      expect((await sandbox.sh("dd if=/dev/zero of=/data/large bs=1M count=32")).stderr).toContain("No space left");
    });

    it.each([images.linkedRun, images.linkedOpt])(
      "%s has the supervisor's files where a workload could move them: it ends before it has an identity",
      async (image) => {
        const limits = { memoryBytes: 256 * mebibyte, cpus: 1, temporaryBytes: 16 * mebibyte };
        for (const workspaceBytes of [undefined, 4 * mebibyte]) {
          await subject.reopen({ limits: { ...limits, workspaceBytes } });
          const ended = nextExit().then(({ lastWords }) => lastWords);
          const starting = start({ image });
          const refused = new Promise<string>((resolve) => starting.catch((cause: Error) => resolve(cause.message)));
          // on disk it cannot even be reached: only the workload can enter its workspace
          expect(await Promise.race([ended, refused])).toMatch(
            workspaceBytes === undefined
              ? /[Pp]ermission denied|the container engine refuses|elsewhere by a link/
              : /the image leads \/[a-z/]+ elsewhere by a link/,
          );
          expect(planes.at(-1)?.calls["issueSandboxToken"]).toBeUndefined();
        }
        await subject.reopen({ limits: { ...limits, workspaceBytes: undefined } });
      },
    );

    it.each([
      ["lays a volume over the supervisor", images.overlaid, "a volume where a sandbox's own files are"],
      ["is not allowed", images.forbidden, "is not an image that the operator allows"],
      ["is not there", "sandgate.test/absent:1", "the engine has no image sandgate.test/absent:1"],
    ])("that %s makes no sandbox", async (_, image, fault) => {
      await expect(start({ image })).rejects.toThrow(fault);
      expect(await containerOf(ids[0] ?? "")).toBe("");
    });

    it("that all others need and is not there is a refusal that names the mend", async () => {
      await subject.reopen({ defaultImage: "sandgate.test/absent:1" });
      expect((await subject.driver.isolation()).refusal).toEqual({
        fault: "the engine has no image sandgate.test/absent:1",
        mend: "docker pull sandgate.test/absent:1",
      });
      await subject.reopen({ defaultImage: images.busybox });
    });
  });

  describe("an engine of others, too", () => {
    afterEach(clear);

    it("tells when somebody removes a container behind our back, and the sandbox can be removed", async () => {
      const { id } = await start();
      const exit = nextExit();
      await engine.docker.getContainer(await containerOf(id)).remove({ force: true });
      expect(await exit).toMatchObject({ sandboxId: id, incarnation: 1n });
      expect(await subject.driver.list()).toContainEqual({ sandboxId: id, incarnation: 1n, running: false });
      await subject.driver.destroy(id);
      expect(await subject.tracesOf(id)).toEqual([]);
    });

    it("D-29: finds a container whose directories are gone, and removes it", async () => {
      const { id } = await start();
      const { Id } = await (await engine.docker.getContainer(await containerOf(id))).inspect();
      await subject.crash();
      await rm(join(subject.stateDirectory, "sandboxes", id), { recursive: true, force: true });
      expect(await subject.driver.list()).toContainEqual({ sandboxId: id, incarnation: 1n, running: true });
      await subject.driver.destroy(id);
      expect((await engine.docker.listContainers({ all: true })).map((each) => each.Id)).not.toContain(Id);
    });

    it("leaves containers alone that are another suite's or nobody's", async () => {
      const strangers = await Promise.all(
        [{}, { "dev.sandgate.suite": "another", "dev.sandgate.sandbox": newSandboxId() }].map((Labels) =>
          engine.docker.createContainer({
            Image: images.busybox,
            Cmd: ["true"],
            Labels,
            HostConfig: { NetworkMode: "none" },
          }),
        ),
      );
      expect(await subject.driver.list()).toEqual([]);
      const found = (await engine.docker.listContainers({ all: true })).map(({ Id }) => Id);
      for (const { id } of strangers) {
        expect(found).toContain(id);
        await engine.docker.getContainer(id).remove();
      }
    });

    it("outlives a restart of the engine: what lives is found, what ended is told, and new sandboxes are made", async () => {
      const lasting = await start();
      const exit = nextExit();
      await engine.restart();
      // Podman's containers live on without it, Docker's end with it
      if (kind === "podman") expect((await lasting.run(["true"])).exit).toMatchObject({ code: 0 });
      else expect(await exit).toMatchObject({ sandboxId: lasting.id });
      await subject.driver.destroy(lasting.id);
      const { run } = await start();
      expect((await run(["true"])).exit).toMatchObject({ code: 0 });
    });
  });
});
