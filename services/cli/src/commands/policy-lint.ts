import { formatAuthoredPolicy } from "@sandgate/policy";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { checkPolicyFile } from "../session/policy-file.ts";
import { describePolicyFault } from "../session/policy-source.ts";

/** `sandgate policy lint`: every fault of a policy file, without a suite. Exit code 2 when there is one. */
export async function lint(context: CommandContext, file: string): Promise<number> {
  const { output } = context;
  const check = await checkPolicyFile(file);
  if (check.ok) {
    output.document({ ok: true, policy: formatAuthoredPolicy(check.policy) });
    const count = check.policy.rules.length;
    output.line(`${output.colors.green("ok")}: ${count} ${count === 1 ? "rule" : "rules"}`);
    return exitCodes.ok;
  }
  output.document({ ok: false, faults: check.faults });
  for (const fault of check.faults) output.line(`${output.colors.red("fault")}: ${describePolicyFault(fault)}`);
  return exitCodes.usage;
}
