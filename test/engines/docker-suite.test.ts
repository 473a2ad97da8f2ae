import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type OriginServers, startOriginServers } from "../../scripts/demo/origin-servers.ts";
import {
  images,
  startEngine,
  type TestEngine,
} from "../../services/sandbox/src/drivers/docker/docker-engine.fixture.ts";
import { SuiteDirectory } from "../e2e/suite-directory.fixture.ts";

describe("a suite whose sandboxes are containers", { timeout: 60_000 }, () => {
  let engine: TestEngine;
  let origins: OriginServers;
  let suite: SuiteDirectory;

  beforeAll(async () => {
    engine = await startEngine();
    origins = await startOriginServers(["api.example"]);
    suite = new SuiteDirectory();
    const up = await suite.sandgate([
      ...["up", "--driver", "docker", "--docker-socket", engine.socket, "--image", images.busybox],
      ...["--sandbox-memory", "201326592", "--sandbox-cpus", "1", "--allow-image", images.perl],
      ...["--allow-image", images.bare, "--allow-image", "sandgate.test/absent:*"],
      ...["--development-origin", `api.example:80=127.0.0.1:${origins.httpPort}`],
    ]);
    expect(up).toMatchObject({ exitCode: 0 });
  }, 120_000);
  afterAll(async () => {
    await suite.remove();
    await origins.close();
    await engine.close();
  });

  const containers = async (): Promise<readonly string[]> =>
    (await engine.docker.listContainers({ all: true })).flatMap(({ Names }) => Names);

  it("says what the driver enforces and what not", async () => {
    const { exitCode, stdout } = await suite.sandgate(["doctor"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("docker driver");
    expect(stdout).toMatch(/not enforced: own-kernel/);
  });

  it("S1-12, S1-16, D-21, D-24: lets an allowed host through the gate, and no other, with the reason", async () => {
    const ask = (head: string) =>
      `printf '${head}\\r\\n\\r\\n' | nc 127.0.0.1 3128 | grep -iE '^(HTTP/1.1|x-deny-reason)'`;
    const script = [
      "wget -q -O- http://api.example/",
      ask("GET http://vault.example/ HTTP/1.1\\r\\nHost: vault.example"),
      ask("CONNECT vault.example:443 HTTP/1.1\\r\\nHost: vault.example:443"),
      "wget -q -T 2 -Y off -O- http://api.example/ || echo no way past the gate",
    ].join("; ");
    const { exitCode, stdout, stderr } = await suite.sandgate(["run", "-a", "api.example", "--", "sh", "-c", script]);
    expect(exitCode).toBe(0);
    expect(
      stdout
        .replaceAll("\r", "")
        .split("\n")
        .map((line) => line.trim()),
    ).toEqual([
      "hello from api.example",
      "HTTP/1.1 403 Forbidden",
      "x-deny-reason: host_not_allowed",
      "HTTP/1.1 403 Forbidden",
      "x-deny-reason: host_not_allowed",
      "no way past the gate",
      "",
    ]);
    expect(stderr).toMatch(/allowed +api\.example:80 +1 +rule api-example/);
    expect(stderr).toMatch(/denied +vault\.example:80 +1 +host_not_allowed/);
    expect(origins.requestsFor("api.example")).toBe(1);
  });

  it("runs any image that the operator allows, and shows which", async () => {
    const ran = await suite.sandgate(["run", "--image", images.bare, "--", "/app/busybox", "id", "-u"]);
    expect(ran).toMatchObject({ exitCode: 0, stdout: "65532\n" });
    const [made] = await suite.json("create", "imaged", "--image", images.bare);
    expect(made).toMatchObject({ phase: "PHASE_READY", spec: { image: images.bare } });
    expect((await suite.sandgate(["get", "imaged"])).stdout).toContain(images.bare);
    await suite.sandgate(["rm", "imaged"]);
  });

  it("says what to do where no engine answers, before anything is started", async () => {
    const other = new SuiteDirectory();
    const refused = await other.sandgate([
      ...["up", "--driver", "docker", "--image", images.busybox, "--docker-socket", `${other.path}/none.sock`],
    ]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("no container engine answers");
    expect(refused.stderr).toContain("systemctl start docker");
    expect(other.processes()).toEqual([]);
    await other.remove();
  });

  it.each([
    [images.forbidden, /not an image that the operator allows/],
    ["../../etc", /must be the name of an image/],
    ["--privileged", /must be the name of an image/],
  ])("makes no sandbox of %s", async (image, reason) => {
    const refused = await suite.sandgate(["run", `--image=${image}`, "--", "true"]);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toMatch(reason);
  });

  it("says how to get an image that is allowed and not there", async () => {
    const refused = await suite.sandgate(["run", "--image", "sandgate.test/absent:1", "--", "true"]);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toContain("the engine has no image sandgate.test/absent:1");
    expect(refused.stderr).toContain("docker pull sandgate.test/absent:1");
  });

  it("S0-26, D-76: gives all of a sandbox's processes together what the suite says", async () => {
    const limits =
      "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2> /dev/null; ulimit -n; true";
    const { stdout } = await suite.sandgate(["run", "--", "sh", "-c", limits]);
    expect(stdout).toBe("201326592\n4096\n");
    const hog = await suite.sandgate(["run", "--", "tail", "/dev/zero"]);
    expect(hog).toMatchObject({ exitCode: 137, stdout: "" });
    expect(hog.stderr).toContain("the command was ended because the sandbox's memory was used up");
    await suite.json("create", "hog", "--no-wait", "--", "tail", "/dev/zero");
    await vi.waitFor(async () => {
      expect((await suite.sandgate(["get", "hog"])).stdout).toMatch(/FAILED.*memory was used up/s);
    }, 20_000);
    await suite.sandgate(["rm", "hog"]);
  });

  it("gives a workload its own socket to prove who it is, and nothing but tokens for what policy grants", async () => {
    const policy = join(suite.path, "identity.json");
    await writeFile(policy, JSON.stringify({ rules: [], identity: { audiences: ["sts.example.com"] } }));
    await suite.json("create", "prover", "--image", images.perl, "--policy", policy);
    const ask = async (audience: string): Promise<string> => {
      const script = [
        "socket(S, 1, 1, 0) && connect(S, pack('Sa*', 1, $ENV{SANDGATE_IDENTITY_SOCKET})) or die $!",
        `syswrite(S, qq(GET /token?audience=${audience} HTTP/1.1\\r\\nHost: identity\\r\\nConnection: close\\r\\n\\r\\n))`,
        "1 while sysread(S, $_, 4096, length)",
        "print",
      ].join("; ");
      const { stdout, stderr } = await suite.sandgate(["exec", "prover", "--", "/usr/bin/perl", "-e", script]);
      return stdout === "" ? stderr : stdout; // Perl complains about the locale
    };
    await vi.waitFor(async () => {
      expect(await ask("sts.example.com")).toMatch(/^HTTP\/1.1 200 .*"token":\s*"eyJ/s);
    }, 10_000);
    expect(await ask("egress-proxy")).toMatch(/^HTTP\/1.1 403 /);
    await suite.sandgate(["rm", "prover"]);
  });

  it("stops and starts a sandbox, whose next container has its workspace and its image", async () => {
    await suite.json("create", "resting", "--image", images.perl);
    const idOf = async () => String((await suite.json("get", "resting"))[0]?.["id"]);
    await suite.sandgate(["exec", "resting", "--", "sh", "-c", "echo kept > /workspace/file; echo lost > /tmp/file"]);
    expect(await suite.sandgate(["stop", "resting"])).toMatchObject({ exitCode: 0 });
    expect(await containers()).not.toContain(`/sandgate-${await idOf()}`);
    expect(await suite.sandgate(["start", "resting"])).toMatchObject({ exitCode: 0 });
    const { stdout } = await suite.sandgate(["exec", "resting", "--", "sh", "-c", "cat /workspace/file /tmp/file"]);
    expect(stdout).toBe("kept\n");
    expect(await suite.json("get", "resting")).toMatchObject([{ incarnation: "2", spec: { image: images.perl } }]);
    await suite.sandgate(["rm", "resting"]);
  });

  it("runs a main process, keeps its output and sees its end", async () => {
    await suite.json("create", "job", "--no-wait", "--", "sh", "-c", "echo one; echo two; exit 0");
    const logs = await suite.sandgate(["logs", "--follow", "job"]);
    expect(logs).toMatchObject({ exitCode: 0, stdout: "one\ntwo\n" });
    await suite.sandgate(["rm", "job"]);
  });

  it("S1-14: has processes that can be left, listed, attached to and ended, and files that can be copied", async () => {
    await suite.json("create", "inside");
    const script = "trap 'echo caught' USR1; setsid sleep 300 & echo up; while :; do sleep 0.05; done";
    const id = (await suite.sandgate(["exec", "-d", "inside", "--", "sh", "-c", script])).stdout.trim();
    await vi.waitFor(async () => {
      const [listed] = await suite.json("ps", "inside");
      expect(listed).toMatchObject({ processes: [{ processId: id, outputEndOffset: "3" }] });
    });
    await suite.json("kill", "-s", "USR1", "--target", "process", "inside", id);
    await vi.waitFor(async () => {
      const [listed] = await suite.json("ps", "inside");
      expect(listed).toMatchObject({ processes: [{ outputEndOffset: "10" }] });
    });
    await suite.json("kill", "-s", "KILL", "--target", "tree", "inside", id);
    expect(await suite.sandgate(["attach", "inside", id])).toMatchObject({ exitCode: 137, stdout: "up\ncaught\n" });

    const file = join(suite.path, "copied");
    await writeFile(file, "copied in");
    expect(await suite.json("cp", file, "inside:there")).toMatchObject([{ bytes: 9 }]);
    expect(await suite.sandgate(["exec", "inside", "--", "cat", "there"])).toMatchObject({ stdout: "copied in" });
    expect(await suite.json("cp", "inside:.", join(suite.path, "out"))).toMatchObject([{ direction: "out" }]);
    expect(await readFile(join(suite.path, "out", "there"), "utf8")).toBe("copied in");
    expect((await suite.sandgate(["cp", "inside:/run/sandgate/bootstrap/config.json", file])).exitCode).not.toBe(0);
    await suite.sandgate(["rm", "inside"]);
  });

  it("S0-31, D-29: finds its containers again after a kill -9, and leaves none behind", async () => {
    await suite.json("create", "lasting");
    const [sandbox] = await suite.json("get", "lasting");
    const name = `/sandgate-${String(sandbox?.["id"])}`;
    expect(await containers()).toContain(name);
    const { "all-in-one": pid } = await suite.pids();
    process.kill(pid ?? 0, "SIGKILL");
    expect(await suite.sandgate(["up"])).toMatchObject({ exitCode: 0 });
    expect(await suite.sandgate(["exec", "lasting", "--", "echo", "still here"])).toMatchObject({
      exitCode: 0,
      stdout: "still here\n",
    });
    expect(await suite.sandgate(["rm", "lasting"])).toMatchObject({ exitCode: 0 });
    expect(await containers()).not.toContain(name);
    await suite.sandgate(["rm", "lasting"]);
    const { stdout } = await suite.sandgate(["down", "--yes"]);
    expect(stdout).toContain("the suite has ended");
    expect(await containers()).toEqual([]);
  });
});
