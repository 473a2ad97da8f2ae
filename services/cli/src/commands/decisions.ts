import { type Decision, DecisionSchema, PolicyService, Verdict } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { formatDecisionLine, formatDecisionTable } from "../decision-view.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate decisions`. */
export interface DecisionsOptions {
  readonly follow?: boolean;
  readonly denied?: boolean;
  readonly limit: number;
}

/** `sandgate decisions`: what a sandbox tried to reach, oldest first; with `--follow` also what is stored from then on. */
export async function printDecisions(
  context: CommandContext,
  sandbox: string,
  options: DecisionsOptions,
): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const wanted = (decision: Decision) => options.denied !== true || decision.verdict === Verdict.DENIED;

  const decisions: Decision[] = [];
  let pageToken = "";
  do {
    const page = await client.listDecisions(
      {
        sandbox,
        pageSize: Math.max(1, Math.min(1000, options.limit - decisions.length)),
        pageToken,
        verdicts: options.denied === true ? [Verdict.DENIED] : [],
      },
      { signal },
    );
    decisions.push(...page.decisions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && decisions.length < options.limit);
  decisions.reverse();

  if (options.follow !== true) {
    for (const decision of decisions) output.event(messageJson(DecisionSchema, decision));
    if (decisions.length === 0) output.note("no decisions");
    else output.line(formatDecisionTable(decisions, output.colors));
  } else {
    const shown = new Set(decisions.map(({ decisionId }) => decisionId));
    const print = (decision: Decision) => {
      output.event(messageJson(DecisionSchema, decision));
      output.line(formatDecisionLine(decision, output.colors));
    };
    for (const decision of decisions) print(decision);
    for await (const page of client.watchDecisions({ sandbox }, { signal }))
      for (const decision of page.decisions) if (wanted(decision) && !shown.has(decision.decisionId)) print(decision);
  }
  connection.close();
  return exitCodes.ok;
}
