import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  stat,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Where one sandbox's things are on the machine. */
export interface SandboxPaths {
  /** Owned by the driver; holds the following four, the driver's record and the supervisor's own log. */
  readonly root: string;
  readonly bootstrap: string;
  readonly workspace: string;
  readonly temporary: string;
  readonly log: string;
  readonly record: string;
  readonly supervisorLog: string;
  readonly control: string;
  readonly egress: string;
}

/** Who owns what a sandbox may touch. */
export interface SandboxOwner {
  readonly uid: number;
  readonly gid: number;
}

/** The directories of a driver's sandboxes. */
export class SandboxDirectories {
  readonly #state: string;
  readonly #runtime: string;
  readonly #range: { readonly first: number; readonly count: number } | undefined;
  readonly #egressUid: number | undefined;

  constructor(options: {
    stateDirectory: string;
    runtimeDirectory: string;
    /** Uids for sandboxes, one for each; undefined where the driver cannot change to another user. */
    uidRange: { readonly first: number; readonly count: number } | undefined;
    /** The egress proxy's uid; undefined where it is the driver's own. */
    egressUid: number | undefined;
  }) {
    this.#state = options.stateDirectory;
    this.#runtime = options.runtimeDirectory;
    this.#range = options.uidRange;
    this.#egressUid = options.egressUid;
  }

  /** The incarnation that was last started; undefined where none was. */
  async readIncarnation(sandboxId: string): Promise<bigint | undefined> {
    try {
      const record: unknown = JSON.parse(await readFile(this.pathsOf(sandboxId).record, "utf8"));
      if (typeof record !== "object" || record === null || !("incarnation" in record)) return undefined;
      return typeof record.incarnation === "string" ? BigInt(record.incarnation) : undefined;
    } catch {
      return undefined; // it was never started
    }
  }

  /** Throws TypeError for what is not a sandbox id: ids become paths (D-20). */
  pathsOf(sandboxId: string): SandboxPaths {
    if (!isSandboxId(sandboxId)) throw new TypeError("not a sandbox id");
    const root = join(this.#state, "sandboxes", sandboxId);
    return {
      root,
      bootstrap: join(root, "bootstrap"),
      workspace: join(root, "workspace"),
      temporary: join(root, "tmp"),
      log: join(root, "log"),
      record: join(root, "driver.json"),
      supervisorLog: join(root, "supervisor.log"),
      control: join(this.#runtime, "control", sandboxId),
      egress: join(this.#runtime, "egress", sandboxId),
    };
  }

  /** Makes the directories that hold all sandboxes', and lets sandboxes' uids pass through them to their own, listing nothing. */
  async open(): Promise<void> {
    const mode = this.#range === undefined && this.#egressUid === undefined ? 0o700 : 0o711;
    for (const path of [this.#state, this.#runtime].concat(this.#parents())) {
      await mkdir(path, { recursive: true, mode });
      const { mode: present, uid } = await stat(path);
      if (uid === process.getuid?.() && (present & mode) !== mode) await chmod(path, (present & 0o777) | mode);
    }
  }

  /** Makes what is missing of a sandbox's directories, and gives it a uid. */
  async prepare(sandboxId: string): Promise<{ paths: SandboxPaths; owner: SandboxOwner | undefined }> {
    const paths = this.pathsOf(sandboxId);
    await this.open();
    const owner = await this.#allocate(sandboxId);
    await makeDirectory(paths.root, 0o710, { uid: -1, gid: owner?.gid ?? -1 });
    for (const path of [paths.bootstrap, paths.workspace, paths.temporary, paths.log])
      await makeDirectory(path, path === paths.temporary ? 0o1777 : 0o700, owner);
    await makeDirectory(paths.control, 0o750, { uid: -1, gid: owner?.gid ?? -1 });
    await makeDirectory(paths.egress, 0o750, { uid: this.#egressUid ?? -1, gid: owner?.gid ?? -1 });
    return { paths, owner };
  }

  /** Removes a sandbox's directories with everything that the workload left in them, then frees its uid. */
  async remove(sandboxId: string): Promise<void> {
    const paths = this.pathsOf(sandboxId);
    for (const path of [paths.control, paths.egress, paths.root]) await removeTree(path);
    if (this.#range === undefined) return;
    for (const uid of await this.#uidsOf(sandboxId)) await unlink(this.#uidLink(uid)).catch(ignoreMissing);
  }

  /** The ids of all sandboxes that have anything on disk. */
  async list(): Promise<ReadonlySet<string>> {
    const names = (await Promise.all(this.#parents().map((parent) => readdir(parent).catch(noEntries)))).flat();
    const uids = await readdir(join(this.#state, "uids")).catch(noEntries);
    const holders = await Promise.all(uids.map((uid) => readlink(this.#uidLink(Number(uid))).catch(() => "")));
    return new Set([...names, ...holders].filter(isSandboxId));
  }

  /** Whether a uid may be a sandbox's. */
  isOwner(uid: number): boolean {
    if (this.#range === undefined) return uid === process.getuid?.();
    return uid === 0 || (uid >= this.#range.first && uid < this.#range.first + this.#range.count);
  }

  /** Writes a file that a sandbox's supervisor alone can read, in place of what was there. */
  async writeForSupervisor(path: string, text: string, owner: SandboxOwner | undefined): Promise<void> {
    const temporary = `${path}.new`;
    await unlink(temporary).catch(ignoreMissing);
    const file = await open(temporary, "wx", 0o400);
    try {
      await file.writeFile(text);
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  }

  /** One link for each uid in use, from the uid to the sandbox: making a link is one step that only one can win. */
  async #allocate(sandboxId: string): Promise<SandboxOwner | undefined> {
    const range = this.#range;
    if (range === undefined) return undefined;
    await mkdir(join(this.#state, "uids"), { recursive: true, mode: 0o700 });
    const [own] = await this.#uidsOf(sandboxId);
    if (own !== undefined) return { uid: own, gid: own };
    const start = createHash("sha256").update(sandboxId).digest().readUInt32BE(0) % range.count;
    for (let step = 0; step < range.count; step += 1) {
      const uid = range.first + ((start + step) % range.count);
      try {
        await symlink(sandboxId, this.#uidLink(uid));
        return { uid, gid: uid };
      } catch (cause) {
        if (codeOf(cause) !== "EEXIST") throw cause;
      }
    }
    throw new Error("every uid for sandboxes is in use");
  }

  async #uidsOf(sandboxId: string): Promise<readonly number[]> {
    const range = this.#range;
    if (range === undefined) return [];
    const start = createHash("sha256").update(sandboxId).digest().readUInt32BE(0) % range.count;
    const likely = range.first + start;
    const holder = await readlink(this.#uidLink(likely)).catch(() => undefined);
    if (holder === sandboxId) return [likely];
    const uids = (await readdir(join(this.#state, "uids")).catch(noEntries)).map(Number);
    const holders = await Promise.all(uids.map((uid) => readlink(this.#uidLink(uid)).catch(() => undefined)));
    return uids.filter((_, index) => holders[index] === sandboxId);
  }

  #parents(): string[] {
    return [join(this.#state, "sandboxes"), join(this.#runtime, "control"), join(this.#runtime, "egress")];
  }

  #uidLink(uid: number): string {
    return join(this.#state, "uids", String(uid));
  }
}

/** "sbx-" and 20 characters. */
function isSandboxId(text: string): boolean {
  return /^sbx-[a-z2-7]{20}$/.test(text);
}

/** Replaces a small file at once. */
export async function replaceFile(path: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(`${path}.new`, text, { mode });
  await chmod(`${path}.new`, mode); // whatever the umask says
  await rename(`${path}.new`, path);
}

async function makeDirectory(path: string, mode: number, owner: SandboxOwner | undefined): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause;
    if (!(await lstat(path)).isDirectory()) throw cause;
  }
  if (owner !== undefined && (owner.uid !== -1 || owner.gid !== -1)) await chown(path, owner.uid, owner.gid);
  await chmod(path, mode);
}

/**
 * Removes a tree that a workload wrote: deeper than any path may be long, without permissions. The programs walk by descriptor, so nothing
 * outside of it is reached; nobody writes in it any more.
 */
async function removeTree(path: string): Promise<void> {
  const run = promisify(execFile);
  const options = { env: { PATH: "/usr/bin:/bin", LC_ALL: "C" }, timeout: 600_000, maxBuffer: 16 * 1024 * 1024 };
  try {
    await run("rm", ["-rf", "--one-file-system", "--", path], options);
  } catch {
    await run("chmod", ["-R", "u+rwX", "--", path], options).catch(() => {}); // what it could not change, rm says below
    await run("rm", ["-rf", "--one-file-system", "--", path], options);
  }
}

function noEntries(cause: unknown): string[] {
  if (codeOf(cause) === "ENOENT") return [];
  throw cause;
}

function ignoreMissing(cause: unknown): void {
  if (codeOf(cause) !== "ENOENT") throw cause;
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
}
