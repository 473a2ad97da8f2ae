import { lstatSync, readlinkSync } from "node:fs";
import { lstat, mkdir, symlink, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import type { PostgresBinaries } from "./postgres-binaries.ts";

/** How to run one of PostgreSQL's programs. */
export interface PostgresCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Whether it needs bubblewrap. */
  readonly wrapped: boolean;
}

/**
 * Runs the rest of the command line below a shell that interrupts it when file descriptor 3 ends. A parent-death signal would
 * not do: it comes from the dying parent, bubblewrap's monitor, which has no right to signal another uid.
 */
const watched = [
  "/bin/sh",
  "-c",
  '"$@" 3<&- & server=$!; (read -r line <&3; kill -INT $server 2>/dev/null) & watch=$!; exec 3<&-; wait $server; code=$?; kill $watch 2>/dev/null; exit $code',
  "watched",
];

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The command line that runs a program of PostgreSQL as an unprivileged uid. An ordinary user runs it as it is. For root, and
 * for a uid without an entry in the passwd file, it runs in a bubblewrap with a passwd file of its own that shows nothing but
 * the system's libraries and the writable directories; it keeps the host's process and IPC namespaces, without which PostgreSQL
 * could not tell that an earlier server is still at work on the same data.
 */
export async function createPostgresCommand(options: {
  readonly binaries: PostgresBinaries;
  readonly program: "initdb" | "postgres";
  readonly args: readonly string[];
  /** Where files that the program reads may be put. */
  readonly runtimeDirectory: string;
  readonly writableDirectories: readonly string[];
  readonly uid: number;
  /** Whether it gets SIGINT, a fast shutdown, at the end of its file descriptor 3: when this process dies. */
  readonly endWithStarter: boolean;
}): Promise<PostgresCommand> {
  const { binaries, runtimeDirectory, uid } = options;
  const program = join(binaries.root, "bin", options.program);
  const env = { PATH: searchPath, LC_ALL: "C", TZ: "UTC" };
  const commandLine = [...(options.endWithStarter ? watched : []), program, ...options.args];
  // a library that is found through a link looks for its own beside the link
  const libraries = join(binaries.root, "lib");
  const isRoot = process.geteuid?.() === 0;

  if (!isRoot && hasPasswdEntry()) {
    const links = await makeLibraryLinks(binaries, join(runtimeDirectory, "postgres-lib"));
    const [file = program, ...args] = commandLine;
    return {
      file,
      args,
      env: { ...env, LD_LIBRARY_PATH: `${links}:${libraries}` },
      wrapped: false,
    };
  }

  const passwd = join(runtimeDirectory, "postgres-passwd");
  await writeFile(passwd, `postgres:x:${uid}:${uid}:PostgreSQL:/:/usr/sbin/nologin\n`, { mode: 0o644 });
  const links = "/run/postgres-lib";
  const bwrap = [
    ...(isRoot
      ? ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
      : ["--unshare-user"]),
    "--unshare-net",
    "--unshare-uts",
    ...["--tmpfs", "/tmp", "--chmod", "1777", "/tmp"],
    // bubblewrap would make the directories on the way to a mount with mode 0700
    ...ancestorsOf(["/etc/passwd", `${links}/x`, binaries.root, ...options.writableDirectories]).flatMap(
      (directory) => ["--perms", "0755", "--dir", directory],
    ),
    ...systemDirectories(),
    ...["--dev", "/dev"],
    ...["--ro-bind", passwd, "/etc/passwd"],
    ...["--ro-bind", binaries.root, binaries.root],
    ...binaries.libraryLinks.flatMap(({ name, file }) => ["--symlink", file, `${links}/${name}`]),
    ...options.writableDirectories.flatMap((directory) => ["--bind", directory, directory]),
    ...["--chdir", "/"],
    "--",
    "setpriv",
    ...(isRoot
      ? ["--reuid", String(uid), "--regid", String(uid), "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
      : []),
    "--no-new-privs",
    "--",
    ...commandLine,
  ];
  return { file: "bwrap", args: bwrap, env: { ...env, LD_LIBRARY_PATH: `${links}:${libraries}` }, wrapped: true };
}

function hasPasswdEntry(): boolean {
  try {
    userInfo();
    return true;
  } catch {
    return false;
  }
}

async function makeLibraryLinks(binaries: PostgresBinaries, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const { name, file } of binaries.libraryLinks) {
    const path = join(directory, name);
    if (await lstat(path).catch(() => undefined)) continue;
    await symlink(file, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  return directory;
}

/** Every directory above the paths, but the root, outermost first. */
function ancestorsOf(paths: readonly string[]): readonly string[] {
  const found = new Set<string>();
  for (const path of paths) for (let at = dirname(path); at !== "/"; at = dirname(at)) found.add(at);
  return [...found].sort();
}

/** /usr, and what lies beside it on this distribution: links into it, or directories. */
function systemDirectories(): string[] {
  const beside = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"].flatMap((path) => {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined) return [];
    return status.isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path];
  });
  return ["--ro-bind", "/usr", "/usr", ...beside, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"];
}
