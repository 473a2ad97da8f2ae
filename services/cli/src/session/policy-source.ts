import type { PolicyCheck, PolicyFault, PolicyMessage } from "@sandgate/policy";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";

/**
 * The policy that `--allow`, `--policy` and `--provider` ask for; undefined if none is there. Refuses hosts beside a file, and what lint finds.
 * What reads and judges policies is loaded only where there is one.
 */
export async function readRequestedPolicy(options: {
  allow: readonly string[];
  file: string | undefined;
  /** Names of providers beside those of the file. */
  providers?: readonly string[];
}): Promise<PolicyMessage | undefined> {
  const policy = await readWrittenPolicy(options);
  const { providers = [] } = options;
  if (providers.length === 0) return policy;
  const { lintPolicy } = await import("@sandgate/policy");
  const named = [...new Set([...(policy?.providers ?? []), ...providers])];
  return requirePolicy(lintPolicy({ ...(policy ?? { rules: [] }), providers: named }), "--provider");
}

async function readWrittenPolicy(options: {
  allow: readonly string[];
  file: string | undefined;
}): Promise<PolicyMessage | undefined> {
  if (options.file !== undefined) {
    if (options.allow.length > 0)
      throw usageFailure("--allow and a policy file cannot be given together", "put the hosts into the file");
    const { checkPolicyFile } = await import("./policy-file.ts");
    return requirePolicy(await checkPolicyFile(options.file), options.file);
  }
  if (options.allow.length === 0) return undefined;
  const { policyOfHosts } = await import("@sandgate/policy");
  return requirePolicy(policyOfHosts(options.allow), "--allow");
}

/** One line for a fault of a policy: where, and what. */
export function describePolicyFault(fault: PolicyFault): string {
  const where = [fault.rule, fault.field].filter((part) => part !== "").join(", ");
  return escapeLine(where === "" ? fault.message : `${where}: ${fault.message}`);
}

function requirePolicy(check: PolicyCheck, source: string): PolicyMessage {
  if (check.ok) return check.policy;
  throw new CommandFailure({
    message: `the policy of ${source} has faults: ${check.faults.map(describePolicyFault).join("; ")}`,
    mend: "correct them; `sandgate policy lint FILE` checks a file",
    exitCode: exitCodes.usage,
  });
}
