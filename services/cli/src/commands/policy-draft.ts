import { GetDraftPolicyResponseSchema, PolicyService } from "@sandgate/api/policy";
import { formatAuthoredPolicy } from "@sandgate/policy";
import { stringify } from "yaml";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProposalTable, formatWarnings } from "../proposal-view.ts";
import { formatSimulation } from "../simulation-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate policy draft`: the policy with everything that is pending, in the form that `policy set` takes. What it would change goes to standard error. */
export async function printDraft(context: CommandContext, sandbox: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const draft = await connection
    .client("policy", PolicyService)
    .getDraftPolicy({ sandbox }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(GetDraftPolicyResponseSchema, draft));
  if (draft.draft !== undefined) {
    output.line(`# draft on revision ${draft.baseRevision}, with ${draft.proposals.length} proposals`);
    output.line(stringify(formatAuthoredPolicy(draft.draft)).trimEnd());
  }
  if (draft.proposals.length > 0) output.note(formatProposalTable(draft.proposals, output.noteColors));
  for (const warning of formatWarnings(draft.warnings, output.noteColors)) output.note(warning);
  if (draft.simulation !== undefined) output.note(formatSimulation(draft.simulation, output.noteColors));
  if (draft.fault === "") return exitCodes.ok;
  output.note(`the draft is no valid policy: ${escapeLine(draft.fault)}`);
  return exitCodes.failed;
}
