import type { AddressRange } from "./address-range.ts";
import { rangeContains } from "./address-range.ts";
import { reachOf, vetAddress } from "./address-reach.ts";
import { isForbiddenName } from "./authored-host.ts";
import type { CompiledPolicy, CompiledRule } from "./compile.ts";
import type { Authority } from "./wire-host.ts";

/** Why a policy denies a destination. */
export type PolicyDenial = "host_not_allowed" | "port_not_allowed" | "ip_not_allowed";

/** What rules say about a destination. `rule` is the first rule, in the policy's order, that decided. */
export type RuleVerdict =
  | {
      readonly verdict: "allow";
      readonly rule: string;
      /** Of all rules that allow it: for `vetAddress`. */
      readonly allowedRanges: readonly AddressRange[];
    }
  | {
      readonly verdict: "deny";
      readonly reason: PolicyDenial;
      /** That it matched but did not allow it, or has expired; empty where there is none. */
      readonly rule: string;
      /** Whether a rule forbids it, rather than none allowing it. */
      readonly forbidden: boolean;
    };

/** What a policy says about a destination: what its rules say or, where it observes only, that they would deny it. */
export type PolicyVerdict =
  | RuleVerdict
  | {
      /** It passes, to public addresses alone. */
      readonly verdict: "would_deny";
      readonly reason: PolicyDenial;
      readonly rule: string;
      readonly allowedRanges: readonly AddressRange[];
    };

/**
 * Decides on a destination at a moment (milliseconds since the epoch). A deny rule beats every allow rule, whatever their order; what no
 * rule allows is denied, or would be where the policy observes only. Names match exactly, or below a wildcard's name at any depth;
 * addresses match only by `allowed_ips`. Loopback, metadata and what a deny rule names are denied in either mode.
 */
export function decide(policy: CompiledPolicy, { host, port }: Authority, nowMs: number): PolicyVerdict {
  switch (host.kind) {
    case "name":
      if (isForbiddenName(host.text)) return forbid("host_not_allowed", "");
      return observed(policy, judge(rulesFor(policy, host.text), port, nowMs));
    case "address": {
      const reach = reachOf(host.address);
      if (reach === "never") return forbid("ip_not_allowed", "");
      const naming = policy.withRanges.filter((rule) =>
        rule.allowedRanges.some((range) => rangeContains(range, host.address)),
      );
      const verdict = judge(naming, port, nowMs);
      if (verdict.verdict === "deny") return reach === "public" ? observed(policy, verdict) : verdict;
      return vetAddress(verdict.allowedRanges, host.address) ? verdict : forbid("ip_not_allowed", verdict.rule);
    }
  }
}

/** What becomes of a verdict by rules in the policy's mode. */
function observed({ observe }: CompiledPolicy, verdict: RuleVerdict): PolicyVerdict {
  if (!observe || verdict.verdict === "allow" || verdict.forbidden) return verdict;
  return { verdict: "would_deny", reason: verdict.reason, rule: verdict.rule, allowedRanges: [] };
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

/** What these rules together say of a port at a moment. A deny rule that covers it beats every other; an expired one is as if it were not there. */
export function judge(rules: readonly CompiledRule[], port: number, nowMs: number): RuleVerdict {
  let allowing: CompiledRule | undefined;
  let ranges: readonly AddressRange[] = [];
  let named: CompiledRule | undefined;
  let expired: CompiledRule | undefined;
  for (const rule of rules) {
    const covers = rule.ports === undefined || rule.ports.has(port);
    if (rule.action === "deny") {
      if (covers) return forbid("host_not_allowed", rule.name);
      continue;
    }
    if (nowMs >= rule.expiresAtMs) {
      if (covers && (expired === undefined || rule.index < expired.index)) expired = rule;
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
  if (named !== undefined) return { verdict: "deny", reason: "port_not_allowed", rule: named.name, forbidden: false };
  return { verdict: "deny", reason: "host_not_allowed", rule: expired?.name ?? "", forbidden: false };
}

function forbid(reason: PolicyDenial, rule: string): RuleVerdict {
  return { verdict: "deny", reason, rule, forbidden: true };
}
