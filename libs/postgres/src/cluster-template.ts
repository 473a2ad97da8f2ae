import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { PostgresBinaries } from "./postgres-binaries.ts";

const run = promisify(execFile);

/**
 * A data directory as initdb made it, kept in node_modules/.cache beside the PostgreSQL that made it: to copy it takes a tenth of
 * initdb's time. Where that folder cannot be written there is none.
 */
export class ClusterTemplate {
  readonly #binaries: PostgresBinaries;
  readonly #uid: number;

  constructor(options: { binaries: PostgresBinaries; uid: number }) {
    this.#binaries = options.binaries;
    this.#uid = options.uid;
  }

  /** Makes a directory that is a copy of it, durably if asked. Answers whether it could; otherwise nothing is there. */
  async copyTo(directory: string, options: { durable: boolean }): Promise<boolean> {
    try {
      const template = await this.#path();
      const { uid, mode } = await stat(template);
      if (uid !== this.#uid || (mode & 0o077) !== 0) return false;
      await copy(template, directory);
      if (options.durable) await run("sync", ["--file-system", directory]);
      return true;
    } catch {
      await rm(directory, { recursive: true, force: true });
      return false;
    }
  }

  /** Keeps a copy of a data directory that no server has used. */
  async keep(directory: string): Promise<void> {
    let draft: string | undefined;
    try {
      const template = await this.#path();
      await mkdir(dirname(template), { recursive: true, mode: 0o700 });
      draft = `${template}.${randomUUID().slice(0, 8)}`;
      await mkdir(draft, { mode: 0o700 });
      await copy(directory, draft);
      await run("sync", ["--file-system", draft]);
      await rename(draft, template);
    } catch {
      // another starter was faster, or the folder is not ours to write: the next start runs initdb
    } finally {
      if (draft !== undefined) await rm(draft, { recursive: true, force: true }).catch(() => {}); // it was never made
    }
  }

  async #path(): Promise<string> {
    const packageFolder = dirname(this.#binaries.root);
    const { version }: { version: string } = JSON.parse(await readFile(join(packageFolder, "package.json"), "utf8"));
    return join(packageFolder, "../../.cache/sandgate", `postgres-${version}-${this.#uid}`);
  }
}

/** Everything in a directory, with owners and modes; and the directory's own. */
async function copy(from: string, to: string): Promise<void> {
  await run("cp", ["--archive", "--reflink=auto", "--no-target-directory", "--", from, to]);
}
