import type { AddressRange } from "./address-range.ts";
import { rangeContains } from "./address-range.ts";
import { reachOf, vetAddress } from "./address-reach.ts";
import { isForbiddenName } from "./authored-host.ts";
import type { CompiledPolicy, CompiledRule } from "./compile.ts";
import type { Authority } from "./wire-host.ts";

/** Why a policy denies a destination. */
export type PolicyDenial = "host_not_allowed" | "port_not_allowed" | "ip_not_allowed";

/** What a policy says about a destination. `rule` is the first rule, in the policy's order, that decided. */
export type PolicyVerdict =
  | {
      readonly verdict: "allow";
      readonly rule: string;
      /** Of all rules that allow it: for `vetAddress`. */
      readonly allowedRanges: readonly AddressRange[];
    }
  | {
      readonly verdict: "deny";
      readonly reason: PolicyDenial;
      /** Empty where none matched. */
      readonly rule: string;
    };

/**
 * Decides on a destination. A deny rule beats every allow rule, whatever their order; what no rule allows is denied.
 * Names match exactly, or below a wildcard's name at any depth; addresses match only by `allowed_ips`.
 */
export function decide(policy: CompiledPolicy, { host, port }: Authority): PolicyVerdict {
  switch (host.kind) {
    case "name":
      return isForbiddenName(host.text) ? deny("host_not_allowed", "") : judge(rulesFor(policy, host.text), port);
    case "address": {
      if (reachOf(host.address) === "never") return deny("ip_not_allowed", "");
      const naming = policy.withRanges.filter((rule) =>
        rule.allowedRanges.some((range) => rangeContains(range, host.address)),
      );
      const verdict = judge(naming, port);
      const reachable = verdict.verdict === "deny" || vetAddress(verdict.allowedRanges, host.address);
      return reachable ? verdict : deny("ip_not_allowed", verdict.rule);
    }
  }
}

const noRules: readonly CompiledRule[] = [];

/** Every rule that names the host. Costs a few map look-ups: as many as the policy's deepest wildcard has labels. */
export function rulesFor(policy: CompiledPolicy, name: string): readonly CompiledRule[] {
  let found = policy.exact.get(name) ?? noRules;
  let dot = name.length;
  for (let depth = 0; depth < policy.deepestWildcard; depth++) {
    dot = name.lastIndexOf(".", dot - 1);
    if (dot <= 0) break;
    const rules = policy.below.get(name.slice(dot + 1));
    if (rules !== undefined) found = found.length === 0 ? rules : [...found, ...rules];
  }
  return found;
}

/** What these rules together say of a port. A deny rule that covers it beats every other. */
export function judge(rules: readonly CompiledRule[], port: number): PolicyVerdict {
  let allowing: CompiledRule | undefined;
  let ranges: readonly AddressRange[] = [];
  let named: CompiledRule | undefined;
  for (const rule of rules) {
    const covers = rule.ports === undefined || rule.ports.has(port);
    if (rule.action === "deny") {
      if (covers) return deny("host_not_allowed", rule.name);
      continue;
    }
    if (!covers) {
      if (named === undefined || rule.index < named.index) named = rule;
      continue;
    }
    if (allowing === undefined || rule.index < allowing.index) allowing = rule;
    ranges = ranges.length === 0 ? rule.allowedRanges : [...ranges, ...rule.allowedRanges];
  }
  if (allowing !== undefined) return { verdict: "allow", rule: allowing.name, allowedRanges: ranges };
  return named === undefined ? deny("host_not_allowed", "") : deny("port_not_allowed", named.name);
}

function deny(reason: PolicyDenial, rule: string): PolicyVerdict {
  return { verdict: "deny", reason, rule };
}
