import { existsSync } from "node:fs";
import { join } from "node:path";
import { readSecretFile } from "@sandgate/config";
import { embeddedConnection, prepareDatabase, startEmbeddedPostgres } from "@sandgate/postgres";
import type { SuiteDirectories } from "./suite-directories.ts";
import { writeWhole } from "./whole-file.ts";

/** The database as the programs' configuration names it. */
export type DatabaseConfig =
  | { readonly url_file: string }
  | { readonly host: string; readonly port: number; readonly database: string; readonly user: string };

/** The database of a suite, which may still be starting. */
export interface SuiteDatabase {
  readonly config: DatabaseConfig;
  /** Resolves when it can be used. */
  readonly started: Promise<void>;
}

/**
 * Gets the services a database: the one whose URL is given now or was given before, which must answer, else an embedded server,
 * which is started unless it runs, while the services start. The URL is kept in a file that only its user can read.
 */
export async function openSuiteDatabase(options: {
  directories: SuiteDirectories;
  urlFile: string | undefined;
  url: string | undefined;
  detached: boolean;
  onStarted: (pid: number) => void;
}): Promise<SuiteDatabase> {
  const { directories } = options;
  const urlFile = keepUrl(directories, options);
  if (urlFile !== undefined) {
    const services = ["auth", "sandbox", "policy"];
    await prepareDatabase({ connection: { url: readSecretFile(urlFile).reveal() }, services });
    return { config: { url_file: urlFile }, started: Promise.resolve() };
  }
  const starting = startEmbeddedPostgres({
    dataDirectory: directories.postgres,
    runtimeDirectory: directories.runtime,
    lifetime: options.detached ? "independent" : "starter",
  });
  const started = starting.then(({ pid }) => options.onStarted(pid));
  started.catch(() => {}); // whoever awaits it hears of it
  const { host, port, database, user } = embeddedConnection(directories.runtime);
  return { config: { host, port, database, user }, started };
}

/** The file with the URL that was given now or at an earlier start; undefined when none was. */
function keepUrl(
  directories: SuiteDirectories,
  given: { readonly urlFile: string | undefined; readonly url: string | undefined },
): string | undefined {
  const path = join(directories.state, "database-url");
  const url = given.urlFile === undefined ? given.url : readSecretFile(given.urlFile).reveal();
  if (url === undefined || url === "") return existsSync(path) ? path : undefined;
  writeWhole(path, `${url}\n`, 0o600);
  return path;
}
