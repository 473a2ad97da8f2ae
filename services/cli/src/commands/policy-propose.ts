import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  PolicyService,
  type SubmitPolicyAnalysisRequestSchema,
  SubmitPolicyAnalysisResponseSchema,
} from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProposalTable } from "../proposal-view.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy propose`. */
export interface ProposeOptions {
  readonly allow: readonly string[];
  readonly decision: readonly string[];
  readonly generalize?: boolean;
  readonly reason: string;
}

/** `sandgate policy propose`: proposals of the hosts that are named, or else of what was denied or would have been. */
export async function propose(context: CommandContext, sandbox: string, options: ProposeOptions): Promise<number> {
  const { output } = context;
  if (options.allow.length > 0 && (options.decision.length > 0 || options.generalize === true))
    throw usageFailure("--allow names what is proposed", "leave --decision and --generalize out");
  const policy = await readRequestedPolicy({ allow: options.allow, file: undefined });
  const source: MessageInitShape<typeof SubmitPolicyAnalysisRequestSchema>["source"] =
    policy === undefined
      ? {
          case: "decisions",
          value: { decisionIds: [...options.decision], generalizeSubdomains: options.generalize === true },
        }
      : { case: "rules", value: { rules: policy.rules } };
  const connection = new SuiteConnection(context.clientFile());
  const submitted = await connection
    .client("policy", PolicyService)
    .submitPolicyAnalysis(
      { sandbox, reason: options.reason, source, requestId: randomUUID() },
      { signal: context.interruptions.signal },
    );
  connection.close();
  output.document(messageJson(SubmitPolicyAnalysisResponseSchema, submitted));
  output.line(formatProposalTable(submitted.proposals, output.colors));
  return exitCodes.ok;
}
