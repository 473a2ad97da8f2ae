import { randomUUID } from "node:crypto";
import {
  ApprovePolicyProposalResponseSchema,
  PolicyService,
  RejectPolicyProposalResponseSchema,
  UndoPolicyProposalResponseSchema,
} from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatDuration } from "../quantities.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy reject` and `undo`. */
export interface DecideOptions {
  readonly expectVersion: number;
  readonly reason: string;
}

/** Options of `sandgate policy approve`. */
export interface ApproveOptions extends DecideOptions {
  readonly ttl?: number;
}

/** `sandgate policy approve`: adds a proposal's rules to the policy, in the version that was reviewed. */
export async function approveProposal(
  context: CommandContext,
  sandbox: string,
  proposalId: string,
  options: ApproveOptions,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const { ttl } = options;
  const approved = await connection.client("policy", PolicyService).approvePolicyProposal(
    {
      ...request(sandbox, proposalId, options),
      ...(ttl === undefined
        ? {}
        : { ttl: { seconds: BigInt(Math.floor(ttl / 1000)), nanos: (ttl % 1000) * 1_000_000 } }),
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  output.document(messageJson(ApprovePolicyProposalResponseSchema, approved));
  const stays = ttl === undefined ? "for good" : `for ${formatDuration(ttl)}`;
  output.line(`revision ${approved.revision?.revision ?? 0n} of ${escapeLine(sandbox)} allows it ${stays}`);
  return exitCodes.ok;
}

/** `sandgate policy reject`: a proposal comes to nothing. */
export async function rejectProposal(
  context: CommandContext,
  sandbox: string,
  proposalId: string,
  options: DecideOptions,
): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const rejected = await connection
    .client("policy", PolicyService)
    .rejectPolicyProposal(request(sandbox, proposalId, options), { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(RejectPolicyProposalResponseSchema, rejected));
  context.output.line(`${escapeLine(proposalId)} is rejected`);
  return exitCodes.ok;
}

/** `sandgate policy undo`: takes what an approval added out of the policy again. */
export async function undoProposal(
  context: CommandContext,
  sandbox: string,
  proposalId: string,
  options: DecideOptions,
): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const undone = await connection
    .client("policy", PolicyService)
    .undoPolicyProposal(request(sandbox, proposalId, options), { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(UndoPolicyProposalResponseSchema, undone));
  context.output.line(`revision ${undone.revision?.revision ?? 0n} of ${escapeLine(sandbox)} is without it`);
  return exitCodes.ok;
}

function request(sandbox: string, proposalId: string, { expectVersion, reason }: DecideOptions) {
  return { sandbox, proposalId, expectedVersion: BigInt(expectVersion), reason, requestId: randomUUID() };
}
