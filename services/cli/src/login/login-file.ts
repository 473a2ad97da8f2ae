import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { withFileLock } from "../file-lock.ts";
import { makeDirectory, readJsonFile, writeWhole } from "../suite/whole-file.ts";
import type { StoredLogin } from "./stored-login.ts";

interface Document {
  readonly version: 1;
  readonly logins: Readonly<Record<string, StoredLogin>>;
}

/**
 * What a suite is told by among others: nobody else has its authority's certificate. Its credentials may go only to a server that this
 * very authority vouches for: a file that names another one beside it must not get them.
 */
export function suiteKeyOf(suite: { readonly trustDomain: string; readonly authority: string }): string {
  return `${suite.trustDomain} ${createHash("sha256").update(suite.authority).digest("hex").slice(0, 32)}`;
}

/**
 * The user's login to one suite, in a file that only the user can read. Reading takes no lock: the file is whole at every moment.
 * Changes are made one after another, whichever process makes them.
 */
export class LoginFile {
  readonly #path: string | undefined;
  readonly #suiteKey: string;

  constructor(options: { readonly path: string | undefined; readonly suiteKey: string }) {
    this.#path = options.path;
    this.#suiteKey = options.suiteKey;
  }

  /** The login; undefined when there is none. Refuses a file that others can read or write. */
  find(): StoredLogin | undefined {
    return this.#path === undefined ? undefined : readDocument(this.#path).logins[this.#suiteKey];
  }

  /**
   * Runs `change` while no other process changes the file, and keeps the login that it answers; undefined removes it. What it hands
   * to `keep` is kept at once, whatever becomes of it afterwards.
   */
  async change<T extends StoredLogin | undefined>(
    change: (login: StoredLogin | undefined, keep: (login: StoredLogin) => void) => Promise<T>,
  ): Promise<T> {
    const path = this.#path;
    if (path === undefined)
      throw usageFailure("this user has no home directory to keep a login in", "set HOME or XDG_CONFIG_HOME");
    makeDirectory(join(path, ".."), 0o700);
    return withFileLock(`${path}.lock`, "another sandgate command is changing the logins", async () => {
      const keep = (login: StoredLogin | undefined): void => {
        const { [this.#suiteKey]: _before, ...others } = readDocument(path).logins;
        const logins = login === undefined ? others : { ...others, [this.#suiteKey]: login };
        writeWhole(path, `${JSON.stringify({ version: 1, logins } satisfies Document, null, 2)}\n`, 0o600);
      };
      const login = this.find();
      const changed = await change(login, keep);
      if (changed !== login) keep(changed);
      return changed;
    });
  }
}

function readDocument(path: string): Document {
  requirePrivate(path);
  const value = readJsonFile(path);
  const isOurs = typeof value === "object" && value !== null && "version" in value && value.version === 1;
  return isOurs ? (value as Document) : { version: 1, logins: {} }; // written here alone, whole or not at all
}

function requirePrivate(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const userId = process.getuid?.();
  if (stat.isFile() && (stat.mode & 0o077) === 0 && (userId === undefined || stat.uid === userId)) return;
  throw new CommandFailure({
    message: `${path} is not a file of this user's alone`,
    mend: `look who may have read it, then remove it and log in again`,
    exitCode: exitCodes.usage,
  });
}
