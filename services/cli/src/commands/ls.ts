import { Phase, type Sandbox, SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import type { PhaseName } from "../phase-name.ts";
import { ageOf, coloredPhase } from "../sandbox-view.ts";
import { parseLabelPairs } from "../session/label-pairs.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate ls`. */
export interface ListOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly limit?: number;
  readonly label: readonly string[];
  readonly phase: readonly PhaseName[];
  readonly owner?: string;
}

/** `sandgate ls`: the sandboxes of the caller's organization, newest first. */
export async function listSandboxes(context: CommandContext, options: ListOptions): Promise<number> {
  const { output } = context;
  if (options.all === true && options.phase.length > 0) throw usageFailure("--all and --phase exclude each other");
  const filter = {
    phases: options.all === true ? allPhases : options.phase.map((phase) => Phase[phase]),
    labels: parseLabelPairs(options.label),
    ownerUserId: options.owner ?? "",
  };
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const sandboxes: Sandbox[] = [];
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  let pageToken = "";
  do {
    const page = await client.listSandboxes(
      {
        pageSize: Math.min(1000, limit - sandboxes.length),
        pageToken,
        ...filter,
      },
      { signal: context.interruptions.signal },
    );
    sandboxes.push(...page.sandboxes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && sandboxes.length < limit);
  connection.close();

  output.document({ sandboxes: sandboxes.map((sandbox) => messageJson(SandboxSchema, sandbox)) });
  if (options.quiet === true) for (const { id } of sandboxes) output.line(id);
  else if (sandboxes.length === 0) output.note("no sandboxes");
  else {
    const now = Date.now();
    output.line(
      formatTable(
        ["name", "id", "phase", "age", "command"],
        sandboxes.map((sandbox) => [
          escapeLine(sandbox.name),
          sandbox.id,
          coloredPhase(output, sandbox.phase),
          ageOf(sandbox.createTime, now),
          escapeLine((sandbox.spec?.command ?? []).join(" ")).slice(0, 60),
        ]),
      ),
    );
  }
  return exitCodes.ok;
}

const allPhases = Object.values(Phase).filter(
  (phase): phase is Phase => typeof phase === "number" && phase !== Phase.UNSPECIFIED,
);
