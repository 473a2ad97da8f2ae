import { formatAuthoredPolicy, type PolicyMessage, type ReviewWarning, reviewRules } from "@sandgate/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { checkPolicyFile } from "../session/policy-file.ts";
import { describePolicyFault } from "../session/policy-source.ts";

/** `sandgate policy lint`: every fault of a policy file, without a suite, and what to know of its rules. Exit code 2 when there is a fault. */
export async function lint(context: CommandContext, file: string): Promise<number> {
  const { output } = context;
  const check = await checkPolicyFile(file);
  if (check.ok) {
    const warnings = reviewRules(check.policy.rules);
    output.document({ ok: true, policy: formatAuthoredPolicy(check.policy), warnings });
    for (const warning of warnings) output.line(`${output.colors.yellow("warning")}: ${describeWarning(warning)}`);
    output.line(`${output.colors.green("ok")}: ${summarize(check.policy)}`);
    return exitCodes.ok;
  }
  output.document({ ok: false, faults: check.faults });
  for (const fault of check.faults) output.line(`${output.colors.red("fault")}: ${describePolicyFault(fault)}`);
  return exitCodes.usage;
}

function describeWarning({ rule, field, message, value }: ReviewWarning): string {
  return escapeLine(`${rule}, ${field}: ${value}: ${message}`);
}

function summarize({ rules, identity, inference }: PolicyMessage): string {
  const parts: readonly (readonly [number, string])[] = [
    [rules.length, "rule"],
    [identity?.audiences.length ?? 0, "audience"],
    [inference?.routes.length ?? 0, "model route"],
  ];
  return parts
    .filter(([count, name]) => name === "rule" || count > 0)
    .map(([count, name]) => `${count} ${name}${count === 1 ? "" : "s"}`)
    .join(", ");
}
