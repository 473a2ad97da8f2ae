import { type PolicyProposal, PolicyProposalSchema, PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProposalTable, type StateName, stateOfName } from "../proposal-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy proposals`. */
export interface ListProposalsOptions {
  readonly state?: StateName;
  readonly limit: number;
}

/** `sandgate policy proposals`: what was proposed for a sandbox, newest first. NDJSON with `--json`. */
export async function listProposals(
  context: CommandContext,
  sandbox: string,
  options: ListProposalsOptions,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const states = options.state === undefined ? [] : [stateOfName(options.state)];
  const proposals: PolicyProposal[] = [];
  let pageToken = "";
  do {
    const pageSize = Math.max(1, Math.min(100, options.limit - proposals.length));
    const page = await client.listPolicyProposals(
      { sandbox, states, pageSize, pageToken },
      { signal: context.interruptions.signal },
    );
    proposals.push(...page.proposals);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && proposals.length < options.limit);
  connection.close();
  for (const proposal of proposals) output.event(messageJson(PolicyProposalSchema, proposal));
  if (proposals.length === 0) output.note("no proposals");
  else output.line(formatProposalTable(proposals, output.colors));
  return exitCodes.ok;
}
