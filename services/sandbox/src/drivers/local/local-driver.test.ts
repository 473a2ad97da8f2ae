import { create } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "@sandgate/api/sandbox";
import { createFakeControlPlane, type FakeControlPlane, type FakeSession } from "@sandgate/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { describeSandboxDriver, newSandboxId } from "../sandbox-driver.contract.ts";
import { driverAccounts, type LocalDriverUnderTest, startLocalDriver } from "./local-driver.fixture.ts";
import {
  countsProcessesPerSandbox,
  describeIsolation,
  forbiddingSettings,
  type MachineFacts,
} from "./local-isolation.ts";

for (const account of driverAccounts) {
  describeSandboxDriver(`local, ${account.name}`, () => startLocalDriver(account));

  describe(`a spare sandbox of the local driver, ${account.name}`, () => {
    let subject: LocalDriverUnderTest;
    let plane: FakeControlPlane;
    let id: string;

    beforeAll(async () => {
      subject = await startLocalDriver(account);
    });
    beforeEach(async () => {
      id = newSandboxId();
      plane = await createFakeControlPlane(id);
      await subject.trust(plane);
      await subject.takeSpare(id);
    });
    afterEach(async () => {
      await subject.driver.destroy(id);
      expect(await subject.tracesOf(id)).toEqual([]);
      await plane.close();
    });
    afterAll(() => subject.close());

    const start = async (): Promise<FakeSession> => {
      const { controlDirectory } = await subject.driver.prepare(id);
      await plane.open(controlDirectory);
      await subject.driver.start({
        sandboxId: id,
        incarnation: 1n,
        name: "demo",
        spec: create(SandboxSpecSchema, { environment: { GREETING: "hello" }, limits: { openFiles: 64 } }),
        bootstrapToken: plane.bootstrapToken,
      });
      return plane.session();
    };
    const supervisors = async () =>
      (await subject.tracesOf(id)).flatMap((trace) => /^process \d+(?=.*supervisor\.mjs)/.exec(trace) ?? []);

    it("becomes the sandbox that it is started as, by the supervisor that waited", async () => {
      const before = await supervisors();
      expect(before.length).toBe(1);
      const session = await start();
      const { checks } = await session.confinement;
      expect(checks.filter(({ confined }) => !confined)).toEqual([]);
      const { stdout } = await plane
        .exec(session, { command: ["sh", "-c", "hostname; echo $GREETING; ulimit -n"] })
        .collect();
      expect(stdout).toBe("demo\nhello\n64\n");
      expect(await supervisors()).toEqual(before);
      expect(await subject.driver.list()).toContainEqual({ sandboxId: id, running: true, incarnation: 1n });
    });

    it("is found when its outer process was killed, and removed", async () => {
      await start();
      subject.killKeeper(id);
      expect(await subject.driver.list()).toContainEqual({ sandboxId: id, running: true, incarnation: 1n });
    });

    it("does not count as running before it is started, or nobody would start it", async () => {
      expect((await supervisors()).length).toBe(1);
      expect(await subject.driver.list()).toContainEqual({ sandboxId: id, running: false, incarnation: 1n });
    });

    it("ends with a driver that is killed; the next one starts the sandbox all the same", async () => {
      const before = await supervisors();
      await subject.crash();
      await subject.trust(plane);
      const session = await start();
      expect(await plane.exec(session, { command: ["hostname"] }).collect()).toMatchObject({ stdout: "demo\n" });
      expect((await supervisors()).filter((each) => before.includes(each))).toEqual([]);
    });

    it("that was killed while it waited is replaced", async () => {
      subject.killSupervisor(id);
      await expect.poll(supervisors, { interval: 10, timeout: 10_000 }).toEqual([]); // else it may be told to start, and die then
      const session = await start();
      expect(await plane.exec(session, { command: ["hostname"] }).collect()).toMatchObject({ stdout: "demo\n" });
      expect(plane.calls.issueSandboxToken).toBe(1);
    });
  });

  describe(`a workload of the local driver, ${account.name}`, () => {
    let subject: LocalDriverUnderTest;
    let plane: FakeControlPlane;
    let session: FakeSession;
    const id = newSandboxId();
    const neighbour = newSandboxId();

    beforeAll(async () => {
      subject = await startLocalDriver(account);
      plane = await createFakeControlPlane(id);
      await subject.trust(plane);
      await subject.driver.prepare(neighbour);
      const { controlDirectory } = await subject.driver.prepare(id);
      await plane.open(controlDirectory);
      await subject.driver.start({
        sandboxId: id,
        incarnation: 1n,
        name: "demo",
        spec: create(SandboxSpecSchema, {
          environment: { GREETING: "hello" },
          limits: { processes: 40, processMemoryBytes: 2n * 1024n ** 3n, openFiles: 64, fileSizeBytes: 1024n * 1024n },
        }),
        bootstrapToken: plane.bootstrapToken,
      });
      session = await plane.session();
      await session.confinement;
    });
    afterAll(async () => {
      for (const each of [id, neighbour]) await subject.driver.destroy(each);
      await plane.close();
      await subject.close();
    });

    const sh = (script: string) => plane.exec(session, { command: ["sh", "-c", script] }).collect();

    it("G-12: finds no credential in environments, command lines, descriptors, memory, files or sockets", async () => {
      // Everything a process of the workload's uid can look at, for the secrets that this sandbox's supervisor has or had.
      const hunt = `
        const fs = require("node:fs");
        const [needle] = process.argv.slice(1);
        const found = [];
        const look = (path) => {
          try {
            const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
            const buffer = Buffer.alloc(1 << 20);
            const length = fs.readSync(fd, buffer);
            fs.closeSync(fd);
            if (buffer.subarray(0, length).includes(needle)) found.push(path);
          } catch {}
        };
        const walk = (path, depth) => {
          let entries = [];
          try { entries = fs.readdirSync(path, { withFileTypes: true }); } catch {}
          for (const entry of entries) {
            const child = path + "/" + entry.name;
            if (entry.isDirectory() && depth > 0) walk(child, depth - 1);
            else if (entry.isFile()) look(child);
          }
        };
        const others = [];
        for (const pid of fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
          if (pid !== String(process.pid)) for (const file of ["environ", "cmdline"]) look("/proc/" + pid + "/" + file);
          if (pid === "1" || pid === String(process.pid)) continue;
          others.push(pid);
        }
        for (const root of ["/run", "/tmp", "/workspace", "/etc", "/opt", "/var", "/dev/shm"]) walk(root, 4);
        const sockets = fs.readFileSync("/proc/net/unix", "utf8").split("\\n").slice(1).filter((line) => line.includes("/") || line.includes("@"));
        const mounts = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\\n").filter((line) => line.includes("bootstrap") || line.includes("control"));
        const fds = fs.readdirSync("/proc/self/fd").map(Number).filter((fd) => fd > 2).map((fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } }).filter((target) => target.startsWith("/") && target !== "/dev/null" && !target.startsWith("/proc/"));
        console.log(JSON.stringify({ found, others, mounts, fds }));
      `;
      for (const needle of [plane.bootstrapToken.slice(3), ...plane.issued.map((token) => token.slice(3))]) {
        // The hunter has the needle in its own arguments: its parent there is the sandbox program, which has them as well.
        const { stdout, stderr } = await plane
          .exec(session, { command: ["/opt/sandgate/bin/node", "-e", hunt, "--", needle] })
          .collect();
        expect(stderr).toBe("");
        expect(JSON.parse(stdout)).toEqual({ found: ["/proc/1/cmdline"], others: [], mounts: [], fds: [] });
      }
      expect(plane.issued.length).toBeGreaterThan(1);
    });

    it("G-12: cannot trace, signal or read any process but its own", async () => {
      const { stdout } = await sh(
        'for p in $(seq 3 300); do [ -d /proc/$p ] && [ $p != $$ ] && echo seen $p; done; kill -0 1 && cat /proc/1/mem 2>&1 | head -c 10 | wc -c; ls /proc | grep -c "^[0-9]"',
      );
      expect(stdout).not.toContain("seen");
    });

    it("D-21, G-12: has no network but loopback, no name service and no way to the control plane's sockets", async () => {
      const script = `
        const net = require("node:net");
        const dial = (options) => new Promise((resolve) => {
          const socket = net.connect(options);
          socket.once("connect", () => resolve("connected") || socket.destroy()).once("error", (error) => resolve(error.code));
        });
        Promise.all([
          dial({ host: "1.1.1.1", port: 443 }),
          dial({ host: "169.254.169.254", port: 80 }),
          dial({ host: "127.0.0.1", port: 9229 }),
          dial({ host: "127.0.0.1", port: 3128 }),
          ...process.argv.slice(1).map((path) => dial({ path })),
          require("node:dns").promises.lookup("example.com").catch((error) => error.code),
        ]).then((outcomes) => console.log(outcomes.join(" ")));
      `;
      const { controlDirectory } = await subject.driver.prepare(id);
      const { stdout } = await plane
        .exec(session, {
          command: [
            "/opt/sandgate/bin/node",
            "-e",
            script,
            "/run/sandgate/control/enrol.sock",
            `${controlDirectory}/control.sock`,
          ],
        })
        .collect();
      expect(stdout).toMatch(/^ENETUNREACH ENETUNREACH ECONNREFUSED connected ENOENT ENOENT E\w+\n$/);
    });

    it("sees a read-only system, its own workspace and its own /tmp, and nothing of the machine or a neighbour", async () => {
      const { stdout } = await sh(
        `echo mine > /workspace/a && echo mine > /tmp/b && cat /workspace/a /tmp/b; ls -d /root /home /var/lib /srv /mnt ${subject.stateDirectory} ${subject.stateDirectory}/sandboxes/${neighbour} /run/sandgate /opt/sandgate/supervisor 2>/dev/null; touch /usr/x /etc/x /x 2>/dev/null && echo written; ls /etc/shadow /etc/ssh /etc/resolv.conf 2>/dev/null; id -u`,
      );
      expect(stdout).toBe("mine\nmine\n65532\n");
    });

    it("has no capability, cannot gain any, and cannot make namespaces, mounts or raw sockets", async () => {
      const { stdout } = await sh(
        [
          "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
          "unshare -Ur true 2>/dev/null && echo userns",
          "mount -t tmpfs none /tmp 2>/dev/null && echo mount",
          "ping -c1 127.0.0.1 >/dev/null 2>&1 && echo raw",
          `/opt/sandgate/bin/node -e 'require("node:fs").chmodSync("/tmp", 0o4777)' 2>/dev/null`,
          "cp /bin/sh /tmp/sh && chmod u+s /tmp/sh && /tmp/sh -p -c 'id -u'",
          "true",
        ].join("\n"),
      );
      expect(stdout).toMatch(/^(Cap\w+:\s0+\n){5}NoNewPrivs:\s1\nSeccomp:\s2\n65532\n$/);
    });

    it("cannot make sockets that a network namespace does not confine", async () => {
      const script = [
        "import socket",
        "for family in (40, 17, 38, 31):",
        "    try:",
        "        socket.socket(family, socket.SOCK_STREAM)",
        "        print('made', family)",
        "    except OSError as error:",
        "        print(error.errno)",
        "socket.socket(socket.AF_UNIX); socket.socket(socket.AF_INET6); print('ok')",
      ].join("\n");
      const { stdout, exit } = await plane.exec(session, { command: ["python3", "-c", script] }).collect();
      if (exit?.code === 127) return;
      expect(stdout).toBe("97\n97\n97\n97\nok\n");
    });

    it("has the environment that was asked for and the ways out (D-24)", async () => {
      const { stdout } = await sh('echo "$GREETING $http_proxy $HTTPS_PROXY $SANDBOX_ID $HOME"; pwd');
      expect(stdout).toBe(`hello http://127.0.0.1:3128 http://127.0.0.1:3128 ${id} /workspace\n/workspace\n`);
    });

    it("D-26: a fork bomb ends at the limit, and the sandbox answers on", async () => {
      const bomb = await sh(
        "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done 2>/dev/null; echo $(jobs -p | wc -l)",
      );
      expect(bomb.stdout === "" || Number(bomb.stdout) < 90).toBe(true);
      expect((await sh("echo alive")).stdout).toBe("alive\n");
    });

    it("D-26: a process is held to its writable memory, open files and file size", async () => {
      const { stdout, stderr } = await sh(
        [
          "dd if=/dev/zero of=/dev/null bs=2500M count=1 2>&1 | grep -o -m1 memory",
          "head -c 3000000 /dev/zero > /workspace/big 2>/dev/null; stat -c %s /workspace/big",
          "ulimit -n; ulimit -c",
        ].join("\n"),
      );
      expect({ stdout, stderr }).toEqual({ stdout: "memory\n1048576\n64\n0\n", stderr: expect.any(String) });
    });
  });
}

const machine: MachineFacts = {
  bubblewrap: { major: 0, minor: 8 },
  missing: [],
  forbiddingSettings: [],
  kernel: { major: 6, minor: 1 },
  separateUids: true,
  architecture: "x64",
};
const fails = { kind: "fails", output: "bwrap: No permissions to create new namespace" } as const;

describe("what a machine can give", () => {
  it.each([
    ["bubblewrap is missing", { ...machine, bubblewrap: undefined }, fails, "apt-get install bubblewrap"],
    ["prlimit is missing", { ...machine, missing: ["prlimit"] }, fails, "apt-get install util-linux"],
    [
      "a kernel setting forbids user namespaces",
      { ...machine, forbiddingSettings: ["kernel.unprivileged_userns_clone=1"] },
      fails,
      "sysctl -w kernel.unprivileged_userns_clone=1",
    ],
    ["a container forbids them", machine, fails, /seccomp profile/],
    ["something else is wrong", machine, { kind: "fails", output: "disk full" } as const, /sandgate doctor/],
  ])("refuses with the way to mend it: %s", (_, facts, trial, mend) => {
    const { refusal, guarantees } = describeIsolation(facts, trial);
    expect(refusal?.mend).toMatch(mend);
    expect(guarantees).toEqual([]);
  });

  it("names what it cannot enforce", () => {
    const names = (facts: MachineFacts) => describeIsolation(facts, { kind: "works" }).gaps.map(({ name }) => name);
    expect(names(machine)).toEqual(["total-memory", "cpu", "disk"]);
    const poor = {
      ...machine,
      separateUids: false,
      kernel: { major: 5, minor: 10 },
      bubblewrap: { major: 0, minor: 6 },
      architecture: "riscv64",
    };
    expect(names(poor).slice(3)).toEqual(["separate-uid", "processes", "user-namespaces", "system-call-filter"]);
    expect(countsProcessesPerSandbox(poor)).toBe(false);
  });

  it.each([
    ["/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"],
    ["/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"],
    ["/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"],
  ])("reads %s", (path, value, setting) => {
    expect(forbiddingSettings((asked) => (asked === path ? value : undefined))).toEqual([setting]);
  });
});
