import { lintPolicy } from "./lint.ts";
import {
  type PolicyCheck,
  type PolicyFault,
  type PolicyMessage,
  type RuleMessage,
  ruleAction,
} from "./policy-message.ts";

/** A rule as a person writes it. A host alone stands for a rule that allows it. */
export type AuthoredRule =
  | string
  | {
      readonly name?: string;
      /** `allow` where it is absent. */
      readonly action?: "allow" | "deny";
      readonly hosts?: readonly string[];
      readonly ports?: readonly number[];
      readonly allowed_ips?: readonly string[];
    };

/** A policy as a person writes it, in YAML or JSON. */
export interface AuthoredPolicy {
  readonly rules: readonly AuthoredRule[];
}

/**
 * Reads a policy from what a YAML or JSON parser returned, and lints it. A rule without a name is given one after its
 * first host. Reports every fault at once, unknown fields included.
 */
export function parseAuthoredPolicy(document: unknown): PolicyCheck {
  const faults: PolicyFault[] = [];
  if (!isRecord(document) || !Array.isArray(document.rules))
    return { ok: false, faults: [{ rule: "", field: "rules", message: "a policy is an object with a list of rules" }] };
  for (const field of Object.keys(document))
    if (field !== "rules") faults.push({ rule: "", field, message: "a policy has no such field" });
  const taken = new Set(document.rules.map((rule: unknown) => (isRecord(rule) ? rule.name : undefined)));
  const rules = document.rules.map((rule: unknown, index) => {
    const named = isRecord(rule) && typeof rule.name === "string" ? rule.name : `rules[${index}]`;
    return readRule(rule, taken, (field, message) => faults.push({ rule: named, field, message }));
  });
  if (faults.length === 0) return lintPolicy({ rules });
  const linted = lintPolicy({ rules });
  return { ok: false, faults: linted.ok ? faults : mergeFaults(faults, linted.faults) };
}

/** Writes a policy as a person would: what is default is left out. */
export function formatAuthoredPolicy(policy: {
  readonly rules: readonly { readonly [K in keyof RuleMessage]: Readonly<RuleMessage[K]> }[];
}): AuthoredPolicy {
  return {
    rules: policy.rules.map((rule) => ({
      name: rule.name,
      ...(rule.action === ruleAction.deny ? { action: "deny" as const } : {}),
      ...(rule.hosts.length > 0 ? { hosts: [...rule.hosts] } : {}),
      ...(rule.ports.length > 0 ? { ports: [...rule.ports] } : {}),
      ...(rule.allowedIps.length > 0 ? { allowed_ips: [...rule.allowedIps] } : {}),
    })),
  };
}

/** A policy that allows these hosts on their default ports, or on the one after a colon. */
export function policyOfHosts(hosts: readonly string[]): PolicyCheck {
  const taken = new Set<unknown>();
  const rules = hosts.map((written): RuleMessage => {
    const [, host = written, port] = /^(.*?)(?::([0-9]{1,5}))?$/s.exec(written) ?? [];
    return {
      ...emptyRule(),
      name: nameAfter(host, taken),
      hosts: [host],
      ports: port === undefined ? [] : [Number(port)],
    };
  });
  return lintPolicy({ rules } satisfies PolicyMessage);
}

type Fault = (field: string, message: string) => void;

function readRule(rule: unknown, taken: Set<unknown>, fault: Fault): RuleMessage {
  if (typeof rule === "string") return { ...emptyRule(), name: nameAfter(rule, taken), hosts: [rule] };
  if (!isRecord(rule)) {
    fault("rule", "a rule is a host or an object");
    return emptyRule();
  }
  for (const field of Object.keys(rule)) if (!ruleFields.has(field)) fault(field, "a rule has no such field");
  const hosts = readList(rule, "hosts", "string", fault);
  const allowedIps = readList(rule, "allowed_ips", "string", fault);
  return {
    name: readName(rule.name, hosts[0] ?? allowedIps[0] ?? "", taken, fault),
    action: readAction(rule.action, fault),
    hosts,
    ports: readList(rule, "ports", "number", fault),
    allowedIps,
  };
}

const ruleFields: ReadonlySet<string> = new Set(["name", "action", "hosts", "ports", "allowed_ips"]);

function emptyRule(): RuleMessage {
  return { name: "", action: ruleAction.allow, hosts: [], ports: [], allowedIps: [] };
}

function readName(name: unknown, host: string, taken: Set<unknown>, fault: Fault): string {
  if (name === undefined) return nameAfter(host, taken);
  if (typeof name === "string") return name;
  fault("name", "a name is text");
  return "";
}

function readAction(action: unknown, fault: Fault): number {
  if (action === undefined || action === "allow") return ruleAction.allow;
  if (action === "deny") return ruleAction.deny;
  fault("action", "an action is allow or deny");
  return ruleAction.allow;
}

interface EntryTypes {
  string: string;
  number: number;
}

function readList<K extends keyof EntryTypes>(
  rule: Record<string, unknown>,
  field: string,
  type: K,
  fault: Fault,
): EntryTypes[K][] {
  const list = rule[field];
  if (list === undefined) return [];
  if (Array.isArray(list) && list.every((entry): entry is EntryTypes[K] => typeof entry === type)) return list;
  fault(field, type === "string" ? "this is a list of texts" : "this is a list of numbers");
  return [];
}

/** A name made of a host: `*.example.com` becomes `any-example-com`, a second one `any-example-com-2`. */
function nameAfter(host: string, taken: Set<unknown>): string {
  const plain = host
    .toLowerCase()
    .replace(/^\*\./, "any-")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 56);
  const stem = plain === "" ? "rule" : plain;
  let name = stem;
  for (let count = 2; taken.has(name); count++) name = `${stem}-${count}`;
  taken.add(name);
  return name;
}

/** What lint found beside what reading found: no second fault for one field, none for what could not be read. */
function mergeFaults(read: readonly PolicyFault[], linted: readonly PolicyFault[]): PolicyFault[] {
  const known = new Set(read.map(({ rule, field }) => `${rule} ${field}`));
  return [...read, ...linted.filter(({ rule, field }) => !known.has(`${rule} ${field}`) && !known.has(`${rule} rule`))];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
