import { type AddressRange, parseAddressRange } from "./address-range.ts";
import { isRuleMethod } from "./http-methods.ts";
import { type PathPattern, parsePathPattern } from "./path-pattern.ts";
import { type PolicyFault, policyMode, type ReadonlyRule, ruleAction, ruleProtocol } from "./policy-message.ts";
import { readExpiry } from "./rule-expiry.ts";
import { parseHostName } from "./wire-host.ts";

/** A rule, ready for decisions. */
export interface CompiledRule {
  readonly name: string;
  readonly index: number;
  readonly action: "allow" | "deny";
  /** Undefined: every port. */
  readonly ports: ReadonlySet<number> | undefined;
  readonly allowedRanges: readonly AddressRange[];
  /** From this moment on (milliseconds since the epoch) the rule is not there; infinite where it stays. */
  readonly expiresAtMs: number;
  /** What may be spoken. "any": TLS and HTTP. */
  readonly protocol: "any" | "http" | "https" | "tcp";
  /** Undefined: every method. One with GET has HEAD. */
  readonly methods: ReadonlySet<string> | undefined;
  /** Undefined: every path. */
  readonly paths: readonly PathPattern[] | undefined;
}

/** A policy, ready for decisions whose cost does not depend on its size. */
export interface CompiledPolicy {
  /** Rules by the exact names that they list. */
  readonly exact: ReadonlyMap<string, readonly CompiledRule[]>;
  /** Rules by the name below which their wildcards match. */
  readonly below: ReadonlyMap<string, readonly CompiledRule[]>;
  /** How many labels the longest key of `below` has. */
  readonly deepestWildcard: number;
  /** The rules that let addresses through, in order. */
  readonly withRanges: readonly CompiledRule[];
  /** The names of all rules, in order. */
  readonly names: readonly string[];
  /** Whether what no rule allows is let through and recorded. */
  readonly observe: boolean;
  /** The moments at which rules end, in order. */
  readonly expiries: readonly number[];
}

/**
 * Compiles a policy that was linted when it was set. Throws PolicyNotCompiled, with every fault, where a host, port, range
 * or action is not in canonical form: such a policy must not be enforced.
 */
export function compilePolicy(policy: {
  readonly rules: readonly ReadonlyRule[];
  readonly mode?: number | undefined;
}): CompiledPolicy {
  const faults: PolicyFault[] = [];
  const exact = new Map<string, CompiledRule[]>();
  const below = new Map<string, CompiledRule[]>();
  const withRanges: CompiledRule[] = [];
  const expiries = new Set<number>();
  let deepestWildcard = 0;
  for (const [index, rule] of policy.rules.entries()) {
    const fault = (field: string, message: string) => faults.push({ rule: rule.name, field, message });
    const compiled = compileRule(rule, index, fault);
    if (compiled.allowedRanges.length > 0) withRanges.push(compiled);
    if (compiled.expiresAtMs !== Number.POSITIVE_INFINITY) expiries.add(compiled.expiresAtMs);
    for (const host of rule.hosts) {
      const wildcard = host.startsWith("*.");
      const name = wildcard ? host.slice(2) : host;
      if (parseHostName(name) !== name) fault("hosts", "not a host in canonical form");
      const map = wildcard ? below : exact;
      const rules = map.get(name);
      if (rules === undefined) map.set(name, [compiled]);
      else if (rules.at(-1) !== compiled) rules.push(compiled);
      if (wildcard) deepestWildcard = Math.max(deepestWildcard, name.split(".").length);
    }
  }
  if (faults.length > 0) throw new PolicyNotCompiled(faults);
  return {
    exact,
    below,
    deepestWildcard,
    withRanges,
    names: policy.rules.map(({ name }) => name),
    observe: policy.mode === policyMode.observe,
    expiries: [...expiries].sort((a, b) => a - b),
  };
}

/** A policy cannot be enforced as it stands. */
export class PolicyNotCompiled extends Error {
  override readonly name = "PolicyNotCompiled";
  readonly faults: readonly PolicyFault[];

  constructor(faults: readonly PolicyFault[]) {
    super(faults.map(({ rule, field, message }) => `${rule}: ${field}: ${message}`).join("; "));
    this.faults = faults;
  }
}

const defaultPorts: ReadonlySet<number> = new Set([80, 443]);

function compileRule(rule: ReadonlyRule, index: number, fault: (field: string, message: string) => void): CompiledRule {
  if (rule.action !== ruleAction.allow && rule.action !== ruleAction.deny) fault("action", "neither allow nor deny");
  const action = rule.action === ruleAction.allow ? "allow" : "deny";
  const allowedRanges: AddressRange[] = [];
  for (const text of rule.allowedIps) {
    const range = parseAddressRange(text);
    if (range === undefined || action === "deny") fault("allowed_ips", "not a range, or in a deny rule");
    else allowedRanges.push(range);
  }
  if (!rule.ports.every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)) fault("ports", "not a port");
  const expiresAtMs = rule.expireTime === undefined ? Number.POSITIVE_INFINITY : readExpiry(rule.expireTime);
  if (expiresAtMs === undefined || (rule.expireTime !== undefined && action === "deny"))
    fault("expire_time", "not a time, or in a deny rule");
  const request = compileRequest(rule, fault);
  const everyPort = action === "deny" && rule.ports.length === 0;
  const ports = rule.ports.length === 0 ? defaultPorts : new Set(rule.ports);
  return {
    name: rule.name,
    index,
    action,
    ports: everyPort ? undefined : ports,
    allowedRanges,
    expiresAtMs: expiresAtMs ?? Number.NEGATIVE_INFINITY,
    ...request,
  };
}

/** What a rule says of requests. */
function compileRequest(
  { methods = [], paths = [], protocol = ruleProtocol.any }: ReadonlyRule,
  fault: (field: string, message: string) => void,
): Pick<CompiledRule, "protocol" | "methods" | "paths"> {
  const spoken = protocols[protocol];
  if (spoken === undefined) fault("protocol", "not a protocol");
  if (!methods.every(isRuleMethod)) fault("methods", "not a method");
  const patterns: PathPattern[] = [];
  for (const text of paths) {
    const pattern = parsePathPattern(text);
    if (pattern === undefined) fault("paths", "not a path pattern");
    else patterns.push(pattern);
  }
  return {
    protocol: spoken ?? "any",
    methods: methods.length === 0 ? undefined : new Set(methods.includes("GET") ? [...methods, "HEAD"] : methods),
    paths: paths.length === 0 ? undefined : patterns,
  };
}

const protocols: Readonly<Record<number, CompiledRule["protocol"] | undefined>> = {
  [ruleProtocol.any]: "any",
  [ruleProtocol.http]: "http",
  [ruleProtocol.https]: "https",
  [ruleProtocol.tcp]: "tcp",
};
