import { type AddressRange, parseAddressRange } from "./address-range.ts";
import { type PolicyFault, type RuleMessage, ruleAction } from "./policy-message.ts";
import { parseHostName } from "./wire-host.ts";

/** A rule, ready for decisions. */
export interface CompiledRule {
  readonly name: string;
  readonly index: number;
  readonly action: "allow" | "deny";
  /** Undefined: every port. */
  readonly ports: ReadonlySet<number> | undefined;
  readonly allowedRanges: readonly AddressRange[];
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
}

/**
 * Compiles a policy that was linted when it was set. Throws PolicyNotCompiled, with every fault, where a host, port, range
 * or action is not in canonical form: such a policy must not be enforced.
 */
export function compilePolicy(policy: {
  readonly rules: readonly { readonly [K in keyof RuleMessage]: Readonly<RuleMessage[K]> }[];
}): CompiledPolicy {
  const faults: PolicyFault[] = [];
  const exact = new Map<string, CompiledRule[]>();
  const below = new Map<string, CompiledRule[]>();
  const withRanges: CompiledRule[] = [];
  let deepestWildcard = 0;
  for (const [index, rule] of policy.rules.entries()) {
    const fault = (field: string, message: string) => faults.push({ rule: rule.name, field, message });
    const compiled = compileRule(rule, index, fault);
    if (compiled.allowedRanges.length > 0) withRanges.push(compiled);
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
  return { exact, below, deepestWildcard, withRanges };
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

function compileRule(
  rule: { readonly [K in keyof RuleMessage]: Readonly<RuleMessage[K]> },
  index: number,
  fault: (field: string, message: string) => void,
): CompiledRule {
  if (rule.action !== ruleAction.allow && rule.action !== ruleAction.deny) fault("action", "neither allow nor deny");
  const action = rule.action === ruleAction.allow ? "allow" : "deny";
  const allowedRanges: AddressRange[] = [];
  for (const text of rule.allowedIps) {
    const range = parseAddressRange(text);
    if (range === undefined || action === "deny") fault("allowed_ips", "not a range, or in a deny rule");
    else allowedRanges.push(range);
  }
  if (!rule.ports.every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)) fault("ports", "not a port");
  const everyPort = action === "deny" && rule.ports.length === 0;
  const ports = rule.ports.length === 0 ? defaultPorts : new Set(rule.ports);
  return { name: rule.name, index, action, ports: everyPort ? undefined : ports, allowedRanges };
}
