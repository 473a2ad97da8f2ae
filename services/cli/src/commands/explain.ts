import { SandboxSchema, SandboxService, type WatchSandboxResponse } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { explain, type Stage } from "../explanation.ts";
import { messageJson } from "../message-json.ts";
import { formatDuration } from "../quantities.ts";
import { coloredPhase, phaseName } from "../sandbox-view.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

const timeoutMs = 15_000;

/** `sandgate explain`: why a sandbox is as it is, how it came there, and what to type next. */
export async function explainSandbox(context: CommandContext, name: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const changes: WatchSandboxResponse[] = [];
  const watch = client.watchSandbox(
    { sandbox: name, history: true },
    { signal: context.interruptions.signal, timeoutMs },
  );
  for await (const change of watch) {
    changes.push(change);
    if (!change.past) break;
  }
  connection.close();
  const explanation = explain(changes);
  const sandbox = changes.at(-1)?.sandbox;
  if (explanation === undefined || sandbox === undefined) throw new Error("the service answered without a sandbox");
  const { summary, waitingFor, stages, lastFailure, nextCommand } = explanation;
  output.document({
    sandbox: messageJson(SandboxSchema, sandbox),
    summary,
    waitingFor,
    stages: stages.map(({ phase, startMs, durationMs, waitingFor: waited }) => ({
      phase: phaseName(phase),
      startTime: new Date(startMs).toISOString(),
      ...(durationMs !== undefined && { durationMs }),
      waitingFor: waited,
    })),
    ...(lastFailure !== undefined && {
      lastFailure: { ...lastFailure, incarnation: String(lastFailure.incarnation) },
    }),
    ...(nextCommand !== undefined && { nextCommand }),
  });
  output.line(`${output.colors.bold(escapeLine(sandbox.name))}  ${coloredPhase(output, sandbox.phase)}`);
  output.line(escapeLine(summary));
  for (const each of waitingFor) output.line(`  waits for ${escapeLine(each.name)}: ${escapeLine(each.meaning)}`);
  if (lastFailure !== undefined)
    output.line(
      `last failure, of incarnation ${lastFailure.incarnation}: ${escapeLine(lastFailure.fault)} (${escapeLine(lastFailure.stage)})`,
    );
  if (nextCommand !== undefined) output.line(`next: ${escapeLine(nextCommand)}`);
  output.line(`\nincarnation ${sandbox.incarnation}`);
  output.line(
    formatTable(
      ["phase", "since", "for"],
      stages.map((stage) => rowOf(stage, Date.now())),
    ),
  );
  return exitCodes.ok;
}

function rowOf({ phase, startMs, durationMs }: Stage, now: number): readonly string[] {
  const lasted = formatDuration(durationMs ?? Math.max(0, now - startMs));
  return [phaseName(phase), new Date(startMs).toISOString(), lasted];
}
