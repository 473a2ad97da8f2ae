import { randomUUID } from "node:crypto";
import { PolicyService, UpdatePolicyProposalResponseSchema } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProposalTable } from "../proposal-view.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy edit`. */
export interface EditProposalOptions {
  readonly allow: readonly string[];
  readonly expectVersion: number;
}

/** `sandgate policy edit`: other rules in a pending proposal, before it is approved. */
export async function editProposal(
  context: CommandContext,
  sandbox: string,
  proposalId: string,
  file: string | undefined,
  options: EditProposalOptions,
): Promise<number> {
  const { output } = context;
  const policy = await readRequestedPolicy({ allow: options.allow, file });
  if (policy === undefined) throw usageFailure("there are no rules", "name a file with rules, or hosts with --allow");
  if (policy.identity !== undefined || policy.inference !== undefined || policy.mode !== undefined)
    throw usageFailure("a proposal has rules alone", "leave the other sections of the file out");
  const connection = new SuiteConnection(context.clientFile());
  const edited = await connection.client("policy", PolicyService).updatePolicyProposal(
    {
      sandbox,
      proposalId,
      rules: policy.rules,
      expectedVersion: BigInt(options.expectVersion),
      requestId: randomUUID(),
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  output.document(messageJson(UpdatePolicyProposalResponseSchema, edited));
  if (edited.proposal !== undefined) output.line(formatProposalTable([edited.proposal], output.colors));
  return exitCodes.ok;
}
