import { type Process, ProcessSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatDuration, formatSize } from "../quantities.ts";
import { ageOf, describeExit } from "../sandbox-view.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate ps`. */
export interface ListProcessesOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
}

/** `sandgate ps`: the processes that were started in a sandbox, with what they use; with --all those that have ended, too. */
export async function listProcesses(
  context: CommandContext,
  sandbox: string,
  options: ListProcessesOptions,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const listed = await connection
    .client("sandbox", SandboxService)
    .listProcesses({ sandbox }, { signal: context.interruptions.signal });
  connection.close();
  const processes = listed.processes.filter(({ end }) => options.all === true || end === undefined);
  output.document({ processes: processes.map((process) => messageJson(ProcessSchema, process)) });
  if (options.quiet === true) for (const { processId } of processes) output.line(processId);
  else if (processes.length === 0)
    output.note(
      listed.processes.length === 0 ? "no processes" : "no processes run; `--all` shows those that have ended",
    );
  else {
    const now = Date.now();
    output.line(
      formatTable(
        ["id", "state", "age", "processes", "cpu", "memory", "output", "command"],
        processes.map((process) => rowOf(process, now)),
      ),
    );
  }
  return exitCodes.ok;
}

function rowOf({ processId, end, startTime, usage, outputEndOffset, command }: Process, now: number): string[] {
  const state = end === undefined ? "running" : end.exit === undefined ? "ended" : describeExit(end.exit);
  const { seconds = 0n, nanos = 0 } = usage?.cpuTime ?? {};
  return [
    escapeLine(processId),
    state,
    ageOf(startTime, now),
    usage === undefined ? "" : String(usage.processes),
    usage === undefined ? "" : formatDuration(Number(seconds) * 1_000 + nanos / 1e6),
    usage === undefined ? "" : formatSize(Number(usage.memoryBytes)),
    formatSize(Number(outputEndOffset)),
    escapeLine(command.join(" ")).slice(0, 60),
  ];
}
