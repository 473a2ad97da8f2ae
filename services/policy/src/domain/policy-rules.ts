import { type ReadonlyPolicy, type ReadonlyRule, type RuleMessage, ruleName } from "@sandgate/policy";

/** A policy with rules added to it. */
export interface Addition {
  readonly policy: ReadonlyPolicy;
  /** As they are in it: with names that were free. */
  readonly added: readonly ReadonlyRule[];
}

/**
 * Adds rules at a policy's end, until a moment or for good. A name that is taken is replaced by another; rules of the policy that have expired
 * are left out.
 */
export function addRules(
  policy: ReadonlyPolicy,
  rules: readonly ReadonlyRule[],
  options: { readonly nowMs: number; readonly expireTime: RuleMessage["expireTime"] },
): Addition {
  const kept = policy.rules.filter((rule) => !hasExpired(rule, options.nowMs));
  const taken = new Set<unknown>(kept.map(({ name }) => name));
  const { expireTime } = options;
  const added = rules.map((rule) => {
    const name = taken.has(rule.name) ? ruleName(rule.name, taken) : rule.name;
    taken.add(name);
    return { ...rule, name, ...(expireTime === undefined ? {} : { expireTime }) };
  });
  return { policy: { ...policy, rules: [...kept, ...added] }, added };
}

/** A policy without rules that were added to it. Undefined where one of that name is there but is not what was added. */
export function removeAdded(policy: ReadonlyPolicy, added: readonly ReadonlyRule[]): ReadonlyPolicy | undefined {
  const byName = new Map(added.map((rule) => [rule.name, contentOf(rule)]));
  const found = policy.rules.filter(({ name }) => byName.has(name));
  if (found.some((rule) => byName.get(rule.name) !== contentOf(rule))) return undefined;
  return { ...policy, rules: policy.rules.filter(({ name }) => !byName.has(name)) };
}

/** What a rule says, its name aside: the same text for rules that say the same. */
export function contentOf(rule: ReadonlyRule): string {
  const { action, hosts, ports, allowedIps, expireTime, methods = [], paths = [], protocol = 0 } = rule;
  return JSON.stringify([
    action,
    [...hosts].sort(),
    [...ports].sort((one, other) => one - other),
    [...allowedIps].sort(),
    expireTime === undefined ? null : [String(expireTime.seconds), expireTime.nanos],
    [...methods].sort(),
    [...paths].sort(),
    protocol,
  ]);
}

function hasExpired({ expireTime }: ReadonlyRule, nowMs: number): boolean {
  return expireTime !== undefined && Number(expireTime.seconds) * 1000 + expireTime.nanos / 1e6 <= nowMs;
}
