import { GetPolicyProposalResponseSchema, PolicyService, ProposalState } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProposal } from "../proposal-view.ts";
import { formatSimulation } from "../simulation-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate policy review`: a proposal with warnings and with what its approval would change. */
export async function reviewProposal(context: CommandContext, sandbox: string, proposalId: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const review = await connection
    .client("policy", PolicyService)
    .getPolicyProposal({ sandbox, proposalId }, { signal: context.interruptions.signal });
  connection.close();
  const { proposal, simulation, warnings } = review;
  output.document(messageJson(GetPolicyProposalResponseSchema, review));
  if (proposal === undefined) throw new Error("the service answered without a proposal");
  output.line(formatProposal(proposal, warnings, output.colors));
  if (simulation !== undefined) output.line(formatSimulation(simulation, output.colors));
  else if (proposal.state === ProposalState.PENDING) output.line("its approval would not make a valid policy");
  if (proposal.state === ProposalState.PENDING)
    output.note(
      `approve it with \`sandgate policy approve ${escapeLine(sandbox)} ${proposal.proposalId} --expect-version ${proposal.version}\``,
    );
  return exitCodes.ok;
}
