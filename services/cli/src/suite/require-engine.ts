import { request } from "node:http";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import type { SuiteDriver } from "./suite-file.ts";

const patienceMs = 5_000;

/** Throws CommandFailure where a suite that is to be started could not reach its driver's container engine. */
export async function requireEngine(driver: SuiteDriver | undefined, userId: number): Promise<void> {
  if (driver?.kind !== "docker") return;
  if (userId !== 0)
    throw new CommandFailure({
      message: "the docker driver needs root: who may use a container engine is root",
      mend: "start the suite as root, or with `sandgate up --driver local`",
      exitCode: exitCodes.usage,
    });
  const { socket = "/var/run/docker.sock" } = driver;
  const fault = await ping(socket);
  if (fault === undefined) return;
  throw new CommandFailure({
    message: `no container engine answers at ${socket} (${fault})`,
    mend: "start it (`systemctl start docker`), name another with `sandgate up --driver docker --docker-socket`, or `sandgate up --driver local`",
    exitCode: exitCodes.usage,
  });
}

/** What keeps an engine from answering; undefined where it does. */
function ping(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asking = request({ socketPath, path: "/_ping", agent: false, timeout: patienceMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`);
    });
    asking.once("timeout", () => {
      resolve("it does not answer");
      asking.destroy();
    });
    asking.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "no answer"));
    asking.end();
  });
}
