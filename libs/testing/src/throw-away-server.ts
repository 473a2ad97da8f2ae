import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EmbeddedPostgres } from "@sandgate/postgres";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** A Unix socket that answers with the throw-away server's connection, as JSON, and starts it at the first question. */
    throwAwayServer: string;
  }
}

const prefix = "sgtest-";

/**
 * vitest's global set-up: one PostgreSQL for a run, shared by its test files and started when the first of them asks. It ends with
 * the run, and also if the run is killed.
 */
export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const root = project.vitest.getRootProject();
  // projects inherit this set-up; the first one does it for all
  if ("throwAwayServer" in root.getProvidedContext()) return undefined;
  removeRemains();
  const directory = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  let server: Promise<EmbeddedPostgres> | undefined;
  const questions = createServer((socket) => {
    socket.on("error", () => {}); // the test file went away
    server ??= start(directory);
    server.then(
      ({ connection }) => socket.end(JSON.stringify({ connection })),
      (error: unknown) => socket.end(JSON.stringify({ failure: error instanceof Error ? error.message : "unknown" })),
    );
  });
  const path = join(directory, "ask");
  await new Promise<void>((resolve) => questions.listen(path, resolve));
  questions.unref();
  root.provide("throwAwayServer", path);
  return async () => {
    questions.close();
    await (await server?.catch(() => undefined))?.stop();
    rmSync(directory, { recursive: true, force: true });
  };
}

async function start(directory: string): Promise<EmbeddedPostgres> {
  // loaded only where a test file asks: most runs need no database
  const { startEmbeddedPostgres } = await import("@sandgate/postgres");
  return startEmbeddedPostgres({
    dataDirectory: join(directory, "data"),
    runtimeDirectory: directory,
    lifetime: "starter",
    durable: false,
    maxConnections: 200,
  });
}

/** Removes the directories of runs that were killed. */
function removeRemains(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}
