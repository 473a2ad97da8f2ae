import { create } from "@bufbuild/protobuf";
import { ExplainDecisionResponseSchema, Outlook, PolicySchema, PolicyService } from "@sandgate/api/policy";
import { formatAuthoredPolicy } from "@sandgate/policy";
import type { CommandContext } from "../command-context.ts";
import { formatDecisionLine } from "../decision-view.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate explain dec-…`: why a proxy decided as it did, what the policy makes of it now, and what to do about it. */
export async function printDecisionExplanation(context: CommandContext, decisionId: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const answer = await connection
    .client("policy", PolicyService)
    .explainDecision({ decisionId }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(ExplainDecisionResponseSchema, answer));
  const { decision, rule, explanation, nextCommand, outlook } = answer;
  if (decision !== undefined) output.line(formatDecisionLine(decision, output.colors));
  for (const sentence of explanation) output.line(escapeLine(sentence));
  if (rule !== undefined) {
    const [written] = formatAuthoredPolicy(create(PolicySchema, { rules: [rule] })).rules;
    output.line(`the rule was ${escapeLine(JSON.stringify(written))}`);
  }
  output.line(outlooks[outlook]);
  if (nextCommand !== "") output.line(`  → \`${escapeLine(nextCommand)}\``);
  return exitCodes.ok;
}

const outlooks: Readonly<Record<Outlook, string>> = {
  [Outlook.UNSPECIFIED]: "",
  [Outlook.ALLOWED]: "the same request is let through now",
  [Outlook.REQUESTABLE]: "another policy may let it through",
  [Outlook.FINAL]: "no approval opens it",
  [Outlook.PASSING]:
    "it was no matter of policy: the same request may be served at another time, or with another credential",
};
