import { SandboxService } from "@sandgate/api/sandbox";
import { type ClientFile, findClientFile } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { formatSize } from "../quantities.ts";
import { processTree, proportionalMemory } from "../suite/process-identity.ts";
import type { ProgramName } from "../suite/programs.ts";
import { type Readiness, readReadiness } from "../suite/readiness.ts";
import { findSuiteProcesses, type SuiteProcess } from "../suite/stop-suite.ts";
import { findSuiteFile, programsOf } from "../suite/suite-file.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** One process of the suite. */
interface ProcessStatus extends Readiness {
  readonly name: string;
  readonly pid: number | undefined;
  readonly memoryBytes: number | undefined;
}

/** `sandgate status`: exit code 0 when all is ready, 5 when nothing runs or something of it does not, 6 when something is not ready. */
export async function status(context: CommandContext): Promise<number> {
  const { output } = context;
  const directories = context.directories();
  const suite = findSuiteFile(directories.suiteFile);
  const running = findSuiteProcesses(directories);
  const client = findClientFile(directories.clientFile);
  if (suite === undefined || (running.length === 0 && client === undefined)) {
    output.document({ state: "not running", processes: [] });
    output.line("the suite is not running; `sandgate up` starts it");
    return exitCodes.unavailable;
  }
  const inspect = async (name: ProgramName): Promise<ProcessStatus> => {
    const found = running.find((process) => process.name === name);
    const readiness: Readiness =
      found === undefined
        ? { state: "no answer", checks: {} }
        : await readReadiness(suite.ports[`${name}.admin`] ?? 0, 2_500);
    return { name, pid: found?.pid, memoryBytes: memoryOf(found), ...readiness };
  };
  const database = running.find(({ name }) => name === "postgres");
  const processes: readonly ProcessStatus[] = [
    ...(database === undefined
      ? []
      : [
          {
            name: "postgres",
            pid: database.pid,
            memoryBytes: memoryOf(database),
            state: "ready" as const,
            checks: {},
          },
        ]),
    ...(await Promise.all(programsOf(suite.topology).map(inspect))),
  ];
  const sandboxes = client === undefined ? undefined : await countSandboxes(client);
  const memoryBytes = processes.reduce((sum, process) => sum + (process.memoryBytes ?? 0), 0);
  const missing = processes.some(({ pid }) => pid === undefined);
  const ready = !missing && processes.every(({ state }) => state === "ready");
  const state = ready ? "ready" : missing ? "incomplete" : "not ready";

  output.document({
    state,
    topology: suite.topology,
    processes,
    memoryBytes,
    sandboxes: sandboxes ?? null,
    ...(client === undefined
      ? {}
      : { addresses: client.addresses, edgeAddresses: client.edgeAddresses, webAddress: client.webAddress }),
    directories: { state: directories.state, runtime: directories.runtime, log: directories.log },
  });
  output.line(
    formatTable(
      ["process", "pid", "state", "memory", "checks"],
      processes.map((process) => [
        process.name,
        process.pid === undefined ? "-" : String(process.pid),
        coloredState(context, process),
        process.memoryBytes === undefined ? "" : formatSize(process.memoryBytes),
        Object.entries(process.checks)
          .map(([check, result]) => (result === "ok" ? check : output.colors.red(`${check}: ${result}`)))
          .join(", "),
      ]),
    ),
  );
  output.line();
  output.line(`sandboxes     ${sandboxes ?? "unknown"}`);
  output.line(`memory        ${formatSize(memoryBytes)} (proportional)`);
  if (client !== undefined) output.line(`edge          ${distinct(client.edgeAddresses)}`);
  if (client !== undefined) output.line(`mTLS          ${distinct(client.addresses)}`);
  if (client?.webAddress !== undefined) output.line(`web           https://${client.webAddress}`);
  output.line(`logs          ${directories.log}`);
  if (missing) output.note("`sandgate up` starts what is missing");
  return ready ? exitCodes.ok : missing ? exitCodes.unavailable : exitCodes.notReady;
}

function coloredState(context: CommandContext, process: ProcessStatus): string {
  const { colors } = context.output;
  if (process.pid === undefined) return colors.red("not running");
  return process.state === "ready" ? colors.green(process.state) : colors.yellow(process.state);
}

function distinct(addresses: ClientFile["addresses"]): string {
  return [...new Set(Object.values(addresses))].join(", ");
}

/** The memory of a process; of the database with its workers, but of a service without the sandboxes that it started. */
function memoryOf(process: SuiteProcess | undefined): number | undefined {
  if (process === undefined) return undefined;
  const members = process.name === "postgres" ? processTree(process.pid) : [process.pid];
  const parts = members.flatMap((member) => proportionalMemory(member) ?? []);
  return parts.length === 0 ? undefined : parts.reduce((sum, part) => sum + part, 0);
}

/** How many sandboxes there are; undefined when the service does not answer. */
async function countSandboxes(client: ClientFile): Promise<number | undefined> {
  const connection = new SuiteConnection(client);
  try {
    let count = 0;
    let pageToken = "";
    do {
      const page = await connection
        .client("sandbox", SandboxService)
        .listSandboxes({ pageSize: 1000, pageToken }, { timeoutMs: 2_000 });
      count += page.sandboxes.length;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return count;
  } catch {
    return undefined;
  } finally {
    connection.close();
  }
}
