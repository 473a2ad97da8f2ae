import { getPublicSuffix } from "tldts";
import { formatAddressRange, parseAddressRange } from "./address-range.ts";
import { isNeverRange } from "./address-reach.ts";
import { HostFault, parseAuthoredHost } from "./authored-host.ts";
import { isRuleMethod } from "./http-methods.ts";
import { lintIdentity, lintInference, lintProviderNames } from "./lint-grants.ts";
import { isName } from "./name.ts";
import { parsePathPattern } from "./path-pattern.ts";
import {
  maximumEntries,
  maximumRules,
  type PolicyCheck,
  type PolicyFault,
  type PolicyMessage,
  policyMode,
  type ReadonlyPolicy,
  type ReadonlyRule,
  type RuleMessage,
  ruleAction,
  ruleProtocol,
} from "./policy-message.ts";
import { readExpiry, writeExpiry } from "./rule-expiry.ts";

/**
 * Checks a policy as it is set, and brings its hosts into A-labels and its ranges into canonical text. Reports every
 * fault at once. Refuses wildcards over a public suffix (also one of the list's private section, where strangers
 * register names), ranges that no rule may open, ranges so wide that they make names meaningless, audiences of Sandgate's
 * own, and routes to models that no rule allows.
 */
export function lintPolicy(policy: ReadonlyPolicy): PolicyCheck {
  const faults: PolicyFault[] = [];
  if (policy.rules.length > maximumRules)
    return { ok: false, faults: [{ rule: "", field: "rules", message: `a policy has at most ${maximumRules} rules` }] };
  const names = new Set<string>();
  const canonical: PolicyMessage = { rules: [] };
  for (const [index, rule] of policy.rules.entries()) {
    const named = isName(rule.name);
    const fault = (field: string, message: string) =>
      faults.push({ rule: named ? rule.name : `rules[${index}]`, field, message });
    if (!named) fault("name", "a name is 1 to 63 lower-case letters, digits and dashes, and begins with no dash");
    else if (names.has(rule.name)) fault("name", "another rule has this name");
    names.add(rule.name);
    canonical.rules.push(lintRule(rule, fault));
  }
  const soundRules = faults.length === 0 ? canonical.rules : undefined;
  const fault = (field: string, message: string) => faults.push({ rule: "", field, message });
  const identity = policy.identity && lintIdentity(policy.identity, fault);
  const inference = policy.inference && lintInference(policy.inference, soundRules, fault);
  const providers = lintProviderNames(policy.providers ?? [], fault);
  if (!knownModes.has(policy.mode ?? 0)) fault("mode", "a mode is observe or enforce");
  if (policy.mode === policyMode.observe) canonical.mode = policyMode.observe;
  if (identity !== undefined) canonical.identity = identity;
  if (inference !== undefined) canonical.inference = inference;
  if (providers !== undefined) canonical.providers = providers;
  return faults.length === 0 ? { ok: true, policy: canonical } : { ok: false, faults };
}

/** Unspecified and enforce, which mean the same, and observe. */
const knownModes: ReadonlySet<number> = new Set([0, 1, policyMode.observe]);

function lintRule(rule: ReadonlyRule, fault: (field: string, message: string) => void): RuleMessage {
  if (rule.action !== ruleAction.allow && rule.action !== ruleAction.deny)
    fault("action", "an action is allow or deny");
  const { methods = [], paths = [] } = rule;
  const lists = { hosts: rule.hosts, ports: rule.ports, allowed_ips: rule.allowedIps, methods, paths };
  for (const [field, list] of Object.entries(lists))
    if (list.length > maximumEntries) fault(field, `a rule has at most ${maximumEntries} of them`);
  if (rule.hosts.length === 0 && rule.allowedIps.length === 0) fault("hosts", "a rule names at least one host");
  if (rule.action === ruleAction.deny && rule.allowedIps.length > 0)
    fault("allowed_ips", "a deny rule has no allowed_ips: addresses are denied unless a rule allows them");
  const expireTime = rule.expireTime && lintExpiry(rule.expireTime, rule.action, fault);
  return {
    name: rule.name,
    action: rule.action,
    hosts: collect(rule.hosts, "hosts", fault, lintHost),
    ports: collect(rule.ports, "ports", fault, lintPort),
    allowedIps: collect(rule.allowedIps, "allowed_ips", fault, lintRange),
    ...(expireTime === undefined ? {} : { expireTime }),
    ...lintRequest(rule, fault),
  };
}

/** What a rule says of requests, in canonical form; nothing where it says nothing. */
function lintRequest(
  { action, methods = [], paths = [], protocol = ruleProtocol.any }: ReadonlyRule,
  fault: (field: string, message: string) => void,
): Pick<RuleMessage, "methods" | "paths" | "protocol"> {
  const inspects = methods.length > 0 || paths.length > 0;
  if (!Object.values<number>(ruleProtocol).includes(protocol)) fault("protocol", "a protocol is http, https or tcp");
  else if (protocol !== ruleProtocol.any && action === ruleAction.deny)
    fault("protocol", "a deny rule has no protocol: it denies whatever is spoken");
  else if (inspects && protocol !== ruleProtocol.any && protocol !== ruleProtocol.http)
    fault("protocol", "methods and paths can be seen in plain http alone");
  return {
    ...(methods.length === 0 ? {} : { methods: collect(methods, "methods", fault, lintMethod) }),
    ...(paths.length === 0 ? {} : { paths: collect(paths, "paths", fault, lintPath) }),
    ...(protocol === ruleProtocol.any ? {} : { protocol }),
  };
}

function lintMethod(method: string): { value: string } | { message: string } {
  const value = method.toUpperCase();
  return isRuleMethod(value) ? { value } : { message: "this is no method that the proxy lets through, such as GET" };
}

function lintPath(text: string): { value: string } | { message: string } {
  return parsePathPattern(text) === undefined
    ? {
        message:
          "a path begins with / and has no . or .. or escapes; * is any part of a segment, ** (once) any segments",
      }
    : { value: text };
}

function lintExpiry(
  expireTime: NonNullable<RuleMessage["expireTime"]>,
  action: number,
  fault: (field: string, message: string) => void,
): RuleMessage["expireTime"] {
  if (action === ruleAction.deny) fault("expire_time", "a deny rule does not expire: that would open what it forbids");
  const ms = readExpiry(expireTime);
  if (ms === undefined) fault("expire_time", "this is no time between 1970 and 9999, as in 2030-01-31T12:00:00Z");
  return ms === undefined ? undefined : writeExpiry(ms);
}

/** The canonical entries without repetitions; a fault for each that has none. */
function collect<T>(
  entries: readonly T[],
  field: string,
  fault: (field: string, message: string) => void,
  lint: (entry: T) => { value: T } | { message: string },
): T[] {
  const values = new Set<T>();
  for (const [index, entry] of entries.slice(0, maximumEntries).entries()) {
    const linted = lint(entry);
    if ("value" in linted) values.add(linted.value);
    else fault(`${field}[${index}]`, linted.message);
  }
  return [...values];
}

function lintHost(text: string): { value: string } | { message: string } {
  try {
    const value = parseAuthoredHost(text);
    const base = value.startsWith("*.") ? value.slice(2) : undefined;
    if (base !== undefined && getPublicSuffix(base, { allowPrivateDomains: true, extractHostname: false }) === base)
      return { message: "this wildcard spans a public suffix, under which anyone can have a name" };
    return { value };
  } catch (error) {
    if (error instanceof HostFault) return { message: error.message };
    throw error;
  }
}

function lintPort(port: number): { value: number } | { message: string } {
  return Number.isInteger(port) && port >= 1 && port <= 65_535
    ? { value: port }
    : { message: "a port is a whole number from 1 to 65535" };
}

const shortestPrefix = { 4: 8, 16: 7 } as const;

function lintRange(text: string): { value: string } | { message: string } {
  const range = parseAddressRange(text);
  if (range === undefined)
    return { message: "a range is an address and a prefix length without bits below it, as in 10.9.0.0/16" };
  if (range.prefixLength < (range.base.length === 4 ? shortestPrefix[4] : shortestPrefix[16]))
    return { message: "a range is at most a /8 of IPv4 or a /7 of IPv6" };
  if (isNeverRange(range))
    return { message: "loopback, link-local, metadata, multicast and reserved addresses are never reachable" };
  return { value: formatAddressRange(range) };
}
