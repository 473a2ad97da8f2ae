import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmod, constants, copyFile, link, mkdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { etcFiles, stageEtc } from "../etc-files.ts";
import { DriverRefusal } from "../sandbox-driver.ts";

/** The files that a supervisor is made of, on the machine. */
export interface SupervisorFiles {
  /** The Node executable. */
  readonly node: string;
  /** The bundle, supervisor.mjs. */
  readonly supervisor: string;
  /** The terminal's native module, pty.node. */
  readonly terminal: string;
}

/** A directory with a supervisor and all that it needs to run on any image: its runtime, the programs that start processes, loader and libraries. */
export interface SupervisorBundle {
  readonly directory: string;
  /** A directory with files of /etc that replace the image's, and their names. */
  readonly etcDirectory: string;
  readonly etcFiles: readonly string[];
  /** Where things are in a container that has it at /opt/sandgate. */
  readonly inside: { readonly node: readonly string[]; readonly env: readonly string[]; readonly supervisor: string };
}

/** Of the machine, by their packages. */
const programs = {
  choom: "util-linux",
  prlimit: "util-linux",
  setpriv: "util-linux",
  setsid: "util-linux",
  env: "coreutils",
  mkfifo: "coreutils",
} as const;

const directories = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** Empty: nothing is loaded into every program, and no name is resolved but in the proxy. */
const emptyFiles = ["ld.so.preload", "resolv.conf"];

/**
 * Makes the bundle below the state directory, under a name that changes with the files, complete or not there at all. Throws DriverRefusal
 * where the machine has no such program.
 */
export async function stageSupervisorBundle(options: {
  readonly files: SupervisorFiles;
  readonly stateDirectory: string;
}): Promise<SupervisorBundle> {
  const { files, stateDirectory } = options;
  const found = await Promise.all(Object.entries(programs).map(([name, owner]) => findProgram(name, owner)));
  const executables = [{ name: "node", path: await realpath(files.node) }, ...found];
  const libraries = await listLibraries([...executables.map(({ path }) => path), files.terminal]);
  const contents = [
    ...executables.map(({ name, path }) => ({ to: `programs/${name}`, from: path })),
    ...libraries,
    { to: "supervisor/supervisor.mjs", from: files.supervisor },
    { to: "supervisor/pty.node", from: files.terminal },
  ];
  const facts = await Promise.all(contents.map(({ from }) => stat(from)));
  const key = createHash("sha256")
    .update(
      JSON.stringify(facts.map(({ dev, ino, size, mtimeMs }, index) => [contents[index], dev, ino, size, mtimeMs])),
    )
    .digest("hex")
    .slice(0, 16);
  const parent = join(stateDirectory, "bundle");
  const directory = join(parent, key);
  await mkdir(parent, { recursive: true, mode: 0o711 });
  if (!(await exists(directory))) {
    const draft = `${directory}.${randomBytes(6).toString("hex")}`;
    // every container's processes read programs and libraries; the supervisor's own directory is closed to them
    for (const [name, mode] of [
      ["", 0o755],
      ["lib", 0o755],
      ["programs", 0o755],
      ["supervisor", 0o700],
    ] as const) {
      await mkdir(join(draft, name));
      await chmod(join(draft, name), mode);
    }
    for (const { to, from } of contents) await place(from, join(draft, to));
    try {
      await rename(draft, directory);
    } catch {
      await rm(draft, { recursive: true, force: true }); // another program has staged the same in the meantime
    }
  }
  const etcDirectory = await stageEtc(stateDirectory);
  for (const name of emptyFiles) await writeFile(join(etcDirectory, name), "", { mode: 0o644 });
  return {
    directory,
    etcDirectory,
    etcFiles: [...Object.keys(etcFiles), ...emptyFiles],
    inside: {
      node: program("node"),
      env: program("env"),
      supervisor: "/opt/sandgate/supervisor/supervisor.mjs",
    },
  };
}

/** How a container starts a program of the bundle: by its loader. */
function program(name: "node" | "env"): readonly string[] {
  return ["/opt/sandgate/lib/ld.so", "--library-path", "/opt/sandgate/lib", `/opt/sandgate/programs/${name}`];
}

async function findProgram(name: string, owner: string): Promise<{ name: string; path: string }> {
  for (const directory of directories) {
    const path = join(directory, name);
    if (await exists(path)) return { name, path: await realpath(path) };
  }
  throw new DriverRefusal(`the program ${name} is missing`, `apt-get install ${owner}`);
}

/** The loader, under a name of ours, and every shared library of these files. */
async function listLibraries(paths: readonly string[]): Promise<readonly { to: string; from: string }[]> {
  const { stdout } = await promisify(execFile)("ldd", [...paths], {
    timeout: 30_000,
    env: { PATH: directories.join(":"), LC_ALL: "C" },
  }).catch((cause: unknown) => {
    throw new DriverRefusal("ldd cannot tell which libraries the supervisor needs", "apt-get install libc-bin", {
      cause,
    });
  });
  const found = new Map<string, string>();
  for (const line of stdout.split("\n")) {
    const [, name, path] = /^\s+(\S+) => (\/\S+) \(0x[0-9a-f]+\)$/.exec(line) ?? [];
    if (name !== undefined && path !== undefined) found.set(`lib/${basename(name)}`, path);
    const loader = /^\s+(\/\S*\/ld-\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1];
    if (loader !== undefined) found.set("lib/ld.so", loader);
    const missing = /^\s+(\S+) => not found$/.exec(line)?.[1];
    if (missing !== undefined) throw new DriverRefusal(`the library ${missing} is missing`, `ldd ${paths[0]}`);
  }
  if (!found.has("lib/ld.so")) throw new DriverRefusal("the supervisor's loader cannot be found", `ldd ${paths[0]}`);
  return Promise.all([...found].sort().map(async ([to, from]) => ({ to, from: await realpath(from) })));
}

async function place(from: string, to: string): Promise<void> {
  const { mode, uid } = await stat(from);
  const mine = process.getuid?.();
  if ((mode & 0o005) === 0o005 && uid === mine) {
    try {
      return await link(from, to);
    } catch {
      // another file system
    }
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await chmod(to, 0o755);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
