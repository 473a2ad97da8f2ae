import { existsSync } from "node:fs";
import { join } from "node:path";
import { readSecretFile } from "@sandgate/config";
import { prepareDatabase, startEmbeddedPostgres } from "@sandgate/postgres";
import type { SuiteProcess } from "./stop-suite.ts";
import type { SuiteDirectories } from "./suite-directories.ts";
import { writeWhole } from "./whole-file.ts";

/** The database as the programs' configuration names it. */
export type DatabaseConfig =
  | { readonly url_file: string }
  | { readonly host: string; readonly port: number; readonly database: string; readonly user: string };

/**
 * Has a database ready for the services: the one whose URL is given now or was given before, else an embedded server, started
 * unless it runs. The URL is kept in a file that only its user can read.
 */
export async function startSuiteDatabase(options: {
  directories: SuiteDirectories;
  running: readonly SuiteProcess[];
  urlFile: string | undefined;
  url: string | undefined;
  detached: boolean;
  onStarted: (pid: number) => void;
}): Promise<DatabaseConfig> {
  const { directories } = options;
  const services = ["auth", "sandbox", "policy"];
  const urlFile = keepUrl(directories, options);
  if (urlFile !== undefined) {
    await prepareDatabase({ connection: { url: readSecretFile(urlFile).reveal() }, services });
    return { url_file: urlFile };
  }
  const server = await startEmbeddedPostgres({
    dataDirectory: directories.postgres,
    runtimeDirectory: directories.runtime,
    lifetime: options.detached ? "independent" : "starter",
  });
  options.onStarted(server.pid);
  await prepareDatabase({ connection: server.connection, services });
  const { host, port, database, user } = server.connection;
  return { host, port, database, user };
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
