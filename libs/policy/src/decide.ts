import type { AddressRange } from "./address-range.ts";
import { rangeContains } from "./address-range.ts";
import { reachOf, vetAddress } from "./address-reach.ts";
import { isForbiddenName } from "./authored-host.ts";
import type { CompiledPolicy, CompiledRule } from "./compile.ts";
import { matchesPath, readPathSegments } from "./path-pattern.ts";
import type { Authority } from "./wire-host.ts";

/** Why a policy denies a destination, or what is asked of it. */
export type PolicyDenial =
  | "host_not_allowed"
  | "port_not_allowed"
  | "ip_not_allowed"
  | "protocol_not_allowed"
  | "method_not_allowed"
  | "path_not_allowed";

/** What is asked of a destination. */
export type Asked =
  /** A connection: what goes through it is decided on when it is known. */
  | { readonly kind: "connection" }
  /** A TLS session, into which nobody can look. */
  | { readonly kind: "tls" }
  /** Bytes of whatever protocol. */
  | { readonly kind: "bytes" }
  /** A plain HTTP request. `path` is its target, with the query; undefined where it is not known: then any path may be meant. */
  | { readonly kind: "request"; readonly method: string; readonly path: string | undefined };

const connection: Asked = { kind: "connection" };

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
 * addresses match only by `allowed_ips`. Loopback, metadata and what a deny rule names are denied in either mode. A rule with methods or
 * paths lets through plain requests alone; one that denies them lets nothing through that cannot be looked into.
 */
export function decide(
  policy: CompiledPolicy,
  { host, port }: Authority,
  nowMs: number,
  asked: Asked = connection,
): PolicyVerdict {
  switch (host.kind) {
    case "name":
      if (isForbiddenName(host.text)) return forbid("host_not_allowed", "");
      return observed(policy, judge(rulesFor(policy, host.text), port, nowMs, asked));
    case "address": {
      const reach = reachOf(host.address);
      if (reach === "never") return forbid("ip_not_allowed", "");
      const naming = policy.withRanges.filter((rule) =>
        rule.allowedRanges.some((range) => rangeContains(range, host.address)),
      );
      const verdict = judge(naming, port, nowMs, asked);
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

/**
 * What these rules together say of a port at a moment. A deny rule that covers what is asked beats every other; an expired one is as if it
 * were not there. A denial names the rule that comes closest.
 */
export function judge(
  rules: readonly CompiledRule[],
  port: number,
  nowMs: number,
  asked: Asked = connection,
): RuleVerdict {
  let allowing: CompiledRule | undefined;
  let ranges: readonly AddressRange[] = [];
  let missed: CompiledRule | undefined;
  let lack: PolicyDenial = "host_not_allowed";
  const path = asked.kind === "request" ? pathOf(asked.path) : undefined;
  for (const rule of rules) {
    const covers = rule.ports === undefined || rule.ports.has(port);
    if (rule.action === "deny") {
      const denial = covers ? findDenial(rule, asked, path) : undefined;
      if (denial !== undefined) return forbid(denial, rule.name);
      continue;
    }
    const reason =
      nowMs >= rule.expiresAtMs ? "host_not_allowed" : covers ? findLack(rule, asked, path) : "port_not_allowed";
    if (reason === undefined) {
      if (allowing === undefined || rule.index < allowing.index) allowing = rule;
      ranges = ranges.length === 0 ? rule.allowedRanges : [...ranges, ...rule.allowedRanges];
      continue;
    }
    if (reason === "host_not_allowed" && !covers) continue;
    const closer = closeness[reason] - closeness[lack];
    if (closer < 0 || (closer === 0 && missed !== undefined && rule.index > missed.index)) continue;
    missed = rule;
    lack = reason;
  }
  if (allowing !== undefined) return { verdict: "allow", rule: allowing.name, allowedRanges: ranges };
  return { verdict: "deny", reason: lack, rule: missed?.name ?? "", forbidden: false };
}

/** How far a rule went along with what is asked. */
const closeness: Readonly<Record<PolicyDenial, number>> = {
  host_not_allowed: 0,
  ip_not_allowed: 0,
  port_not_allowed: 1,
  protocol_not_allowed: 2,
  method_not_allowed: 3,
  path_not_allowed: 4,
};

/** The segments of a path; "any" where it is not known, undefined where it has no single meaning. */
type ReadPath = readonly string[] | "any" | undefined;

function pathOf(target: string | undefined): ReadPath {
  return target === undefined ? "any" : readPathSegments(target);
}

/** For want of what a rule that allows the port does not allow what is asked; undefined where it does. */
function findLack({ protocol, methods, paths }: CompiledRule, asked: Asked, path: ReadPath): PolicyDenial | undefined {
  switch (asked.kind) {
    case "connection":
      return undefined;
    case "bytes":
      return protocol === "tcp" ? undefined : "protocol_not_allowed";
    case "tls":
      return protocol === "http" || methods !== undefined || paths !== undefined ? "protocol_not_allowed" : undefined;
    case "request":
      if (protocol === "https") return "protocol_not_allowed";
      if (methods !== undefined && !methods.has(asked.method)) return "method_not_allowed";
      if (paths === undefined || path === "any") return undefined;
      return path !== undefined && paths.some((pattern) => matchesPath(pattern, path)) ? undefined : "path_not_allowed";
  }
}

/** Why a rule that forbids the port forbids what is asked; undefined where it does not. */
function findDenial({ methods, paths }: CompiledRule, asked: Asked, path: ReadPath): PolicyDenial | undefined {
  if (methods === undefined && paths === undefined) return "host_not_allowed";
  switch (asked.kind) {
    case "connection":
      return undefined;
    case "bytes":
    case "tls":
      return "protocol_not_allowed";
    case "request":
      if (methods !== undefined && !methods.has(asked.method)) return undefined;
      if (paths === undefined) return "method_not_allowed";
      // a path without one meaning may be the forbidden one
      return path === undefined || path === "any" || paths.some((pattern) => matchesPath(pattern, path))
        ? "path_not_allowed"
        : undefined;
  }
}

function forbid(reason: PolicyDenial, rule: string): RuleVerdict {
  return { verdict: "deny", reason, rule, forbidden: true };
}
