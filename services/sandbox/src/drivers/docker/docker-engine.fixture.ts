import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import Docker from "dockerode";
import { vi } from "vitest";

/** A container engine of a test's own: its state, sockets and processes are apart from any other engine of the machine. */
export interface TestEngine {
  readonly socket: string;
  readonly docker: Docker;
  /** Everything that the engine wrote. */
  log(): string;
  /** Ends it, as a crash does, and starts it again on the same state. */
  restart(meanwhile?: () => Promise<void>): Promise<void>;
  /** Ends what was started, and removes its state. */
  close(): Promise<void>;
}

/** What the engine says of a container. */
export type ContainerFacts = Docker.ContainerInspectInfo;

/** What there is in the images: nothing comes from a registry. */
export const images = {
  /** Busybox, and nothing else: a shell, but no C library. */
  busybox: "sandgate.test/busybox:1",
  /** Busybox and Perl, which makes any system call, with the machine's C library. */
  perl: "sandgate.test/perl:1",
  /** One static program: no shell, no /tmp, no /etc. */
  bare: "sandgate.test/bare:1",
  /** Wants to get into the supervisor. */
  hostile: "sandgate.test/hostile:1",
  /** Lays a volume over the supervisor. */
  overlaid: "sandgate.test/overlaid:1",
  /** Have the places of the supervisor's files in the workspace, where the workload could move them. */
  linkedRun: "sandgate.test/linked-run:1",
  linkedOpt: "sandgate.test/linked-opt:1",
  /** Is there, and not allowed. */
  forbidden: "sandgate.test/forbidden:1",
} as const;

/** The engines that tests start. */
export type EngineKind = "docker" | "podman";

/**
 * Starts an engine and gives it the images. Needs root, and the packages docker.io and busybox-static; for Podman podman, runc and
 * catatonit.
 */
export async function startEngine(kind: EngineKind = "docker"): Promise<TestEngine> {
  const directory = await mkdtemp(join(tmpdir(), "eng-")); // short: the engine's own sockets lie below it
  const at = (name: string): string => join(directory, name);
  const socket = at("docker.sock");
  const docker = new Docker({ socketPath: socket });
  let log = "";
  const launch = async () => {
    const [file = "", ...args] = commandOf(kind, at);
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        log += text;
      });
    const fault = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${kind} ended with ${code}: ${log.slice(-2_000)}`)));
    });
    fault.catch(() => {});
    const answering = vi.waitFor(() => docker.ping(), { timeout: 30_000, interval: 50 });
    await Promise.race([answering, fault]);
    return child;
  };
  if (kind === "podman") await writeRuntime(at("runtime"));
  let child = await launch();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };
  await importImages(docker, at("images"));
  return {
    socket,
    docker,
    log: () => log,
    restart: async (meanwhile) => {
      await end("SIGTERM");
      await meanwhile?.();
      child = await launch();
    },
    close: async () => {
      for (const { Id } of await docker.listContainers({ all: true }))
        await docker.getContainer(Id).remove({ force: true, v: true });
      await end("SIGTERM");
      // Podman leaves its storage mounted
      if (kind === "podman") await promisify(execFile)("umount", ["--recursive", at("data/overlay")]).catch(() => {});
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Everything of it lies below a directory of its own; it makes no network. */
function commandOf(kind: EngineKind, at: (name: string) => string): readonly string[] {
  switch (kind) {
    case "docker":
      return [
        ...["dockerd", "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid")],
        ...["--host", `unix://${at("docker.sock")}`, "--bridge=none", "--iptables=false", "--ip6tables=false"],
        "--log-level=warn",
      ];
    case "podman":
      return [
        ...["podman", "--root", at("data"), "--runroot", at("exec"), "--tmpdir", at("tmp")],
        ...["--runtime", at("runtime")],
        ...["--cgroup-manager=cgroupfs", "--events-backend=file", "--log-level=warn"],
        ...["system", "service", "--time=0", `unix://${at("docker.sock")}`],
      ];
  }
}

/**
 * Podman gives each container a number of processes for its user that is higher than a test's own, which only CAP_SYS_RESOURCE lets anybody do: it
 * is taken out on machines without. The limit of the container itself is another.
 */
async function writeRuntime(path: string): Promise<void> {
  const script = [
    "#!/bin/sh",
    'previous=""',
    "for word; do",
    '  [ "$previous" = --bundle ] && sed -i \'s/,\\?{"type":"RLIMIT_NPROC"[^}]*}//\' "$word/config.json"',
    "  previous=$word",
    "done",
    'exec runc "$@"',
  ];
  await writeFile(path, `${script.join("\n")}\n`);
  await chmod(path, 0o755);
}

async function importImages(docker: Docker, directory: string): Promise<void> {
  const busybox = "/bin/busybox";
  const { stdout } = await promisify(execFile)(busybox, ["--list"]);
  const full = join(directory, "busybox");
  await mkdir(join(full, "bin"), { recursive: true });
  await mkdir(join(full, "etc"));
  await cp(busybox, join(full, "bin/busybox"));
  for (const name of stdout.trim().split("\n"))
    if (name !== "busybox") await symlink("busybox", join(full, "bin", name));
  const bare = join(directory, "bare");
  await mkdir(join(bare, "app"), { recursive: true });
  await cp(busybox, join(bare, "app/busybox"));
  await importImage(docker, { root: full, image: images.busybox, changes: ["ENV FROM_IMAGE=yes"] });
  await importImage(docker, { root: full, image: images.forbidden, changes: [] });
  await importImage(docker, { root: bare, image: images.bare, changes: ["WORKDIR /nowhere", "USER 12:34"] });
  await importImage(docker, {
    root: full,
    image: images.overlaid,
    changes: ["VOLUME /opt/sandgate/supervisor"],
  });
  await addPerl(full);
  await importImage(docker, { root: full, image: images.perl, changes: [] });
  for (const [name, image] of [
    ["run", images.linkedRun],
    ["opt", images.linkedOpt],
  ] as const) {
    const linked = join(directory, `linked-${name}`);
    await mkdir(linked);
    await symlink(`/workspace/${name}`, join(linked, name));
    await importImage(docker, { root: linked, image, changes: [] });
  }
  await addHostileFiles(full);
  await importImage(docker, {
    root: full,
    image: images.hostile,
    changes: [
      ...["ENV LD_PRELOAD=/evil.so", "ENV LD_LIBRARY_PATH=/evil", "ENV NODE_OPTIONS=--require=/evil.js"],
      "ENV NODE_EXTRA_CA_CERTS=/evil.pem",
      "ENV SANDGATE_SANDBOX_TOKEN=evil",
      'ENTRYPOINT ["/bin/sh", "-c", "echo entered"]',
      "VOLUME /data",
    ],
  });
}

/** Perl is on every Debian. */
async function addPerl(root: string): Promise<void> {
  const { stdout } = await promisify(execFile)("ldd", ["/usr/bin/perl"]);
  for (const path of ["/usr/bin/perl", ...(stdout.match(/\/\S+(?= \()/g) ?? [])]) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(path, join(root, path)); // what a link leads to
  }
}

/** What an image may hold to become the supervisor's: names that stand for root, libraries that are loaded into every program. */
async function addHostileFiles(root: string): Promise<void> {
  await writeFile(join(root, "etc/passwd"), "65532:x:0:0::/:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "65532:x:0:\n");
  await writeFile(join(root, "etc/nsswitch.conf"), "passwd: evil\ngroup: evil\nhosts: evil\n");
  await writeFile(join(root, "etc/ld.so.preload"), "/evil.so\n");
  const forgery = JSON.stringify([{ name: "forged", confined: true, detail: "" }]);
  await writeFile(join(root, "evil.js"), `console.log(${JSON.stringify(forgery)}); process.exit(0);\n`);
}

async function importImage(
  docker: Docker,
  options: { readonly root: string; readonly image: string; readonly changes: readonly string[] },
): Promise<void> {
  const archive = `${options.root}.tar`;
  await promisify(execFile)("tar", ["-C", options.root, "--owner=0", "--group=0", "-cf", archive, "."]);
  const answer = await docker.importImage(Readable.from([await readFile(archive)]), {
    repo: options.image,
    changes: [...options.changes],
  });
  let said = "";
  for await (const chunk of answer) said += String(chunk);
  await docker
    .getImage(options.image)
    .inspect()
    .catch((cause: unknown) => {
      throw new Error(`an image could not be imported: ${said}`, { cause });
    });
}
