import { lintPolicy, type ReadonlyRule, type RuleMessage, ruleAction, ruleName, ruleProtocol } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";
import { submissionLimits } from "../domain/proposal-limits.ts";
import { policyInvalid } from "./policy-invalid.ts";

/**
 * Checks rules that are to be added to a policy and brings them into canonical form. What a sandbox proposes names hosts alone, and its rules
 * are named by us, so that no name of theirs speaks to the reviewer. Throws REQUEST_INVALID for too many, and POLICY_INVALID for what
 * lint refuses.
 */
export function readProposedRules(
  rules: readonly ReadonlyRule[],
  options: { readonly field: string; readonly bySandbox: boolean },
): readonly RuleMessage[] {
  const { field, bySandbox } = options;
  const entries = rules
    .flatMap(({ hosts, ports, allowedIps, methods = [], paths = [] }) => [hosts, ports, allowedIps, methods, paths])
    .reduce((sum, { length }) => sum + length, 0);
  if (rules.length === 0 || rules.length > submissionLimits.rules || entries > submissionLimits.entries)
    throw new ServiceError(
      "REQUEST_INVALID",
      "a request has 1 to 20 rules, with at most 100 hosts, ports, methods and paths in all",
      {
        field,
      },
    );
  const taken = new Set<unknown>(bySandbox ? [] : rules.map(({ name }) => name));
  const named = rules.map((rule) =>
    bySandbox || rule.name === "" ? { ...rule, name: ruleName(rule.hosts[0] ?? "", taken) } : rule,
  );
  for (const { name, action, allowedIps, expireTime, protocol } of named) {
    const refuse = (at: string, message: string) => policyInvalid([{ rule: name, field: at, message }]);
    if (action !== ruleAction.allow) throw refuse("action", "only rules that allow are proposed");
    if (expireTime !== undefined) throw refuse("expire_time", "how long a rule stays is for its approval to say");
    if (bySandbox && allowedIps.length > 0) throw refuse("allowed_ips", "a sandbox proposes hosts alone");
    if (bySandbox && protocol === ruleProtocol.tcp) throw refuse("protocol", "a sandbox proposes http and https alone");
  }
  const check = lintPolicy({ rules: named });
  if (!check.ok) throw policyInvalid(check.faults);
  return check.policy.rules;
}
