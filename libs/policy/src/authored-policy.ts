import { hostGroups, hostsOf } from "./catalogue.ts";
import { lintPolicy } from "./lint.ts";
import {
  type PolicyCheck,
  type PolicyFault,
  type PolicyMessage,
  policyMode,
  type ReadonlyPolicy,
  type RouteMessage,
  type RuleMessage,
  ruleAction,
  ruleProtocol,
} from "./policy-message.ts";
import { readExpiry, writeExpiry } from "./rule-expiry.ts";
import { ruleName } from "./rule-name.ts";

/** A rule as a person writes it. A host alone stands for a rule that allows it; `@name` stands for the hosts of a group. */
export type AuthoredRule =
  | string
  | {
      readonly name?: string;
      /** `allow` where it is absent. */
      readonly action?: "allow" | "deny";
      readonly hosts?: readonly string[];
      readonly ports?: readonly number[];
      readonly allowed_ips?: readonly string[];
      /** When the rule ends, RFC 3339; only of rules that allow. */
      readonly expire_time?: string;
      /** TLS and plain HTTP where it is absent. */
      readonly protocol?: "http" | "https" | "tcp";
      /** Of plain HTTP requests; GET stands for HEAD, too. */
      readonly methods?: readonly string[];
      /** Of plain HTTP requests, such as `/v1/**`; the query does not count. */
      readonly paths?: readonly string[];
    };

/** An upstream of models as a person writes it. */
export interface AuthoredRoute {
  readonly name: string;
  readonly host: string;
  readonly port?: number;
  readonly path?: string;
  readonly models: readonly string[];
  readonly credential?: string;
}

/** A policy as a person writes it, in YAML or JSON. */
export interface AuthoredPolicy {
  /** `enforce` where it is absent. */
  readonly mode?: "observe" | "enforce";
  readonly rules: readonly AuthoredRule[];
  readonly identity?: { readonly audiences: readonly string[] };
  readonly inference?: { readonly routes: readonly AuthoredRoute[] };
  readonly providers?: readonly string[];
}

/**
 * Reads a policy from what a YAML or JSON parser returned, and lints it. A rule without a name is given one after its
 * first host. Reports every fault at once, unknown fields included.
 */
export function parseAuthoredPolicy(document: unknown): PolicyCheck {
  const faults: PolicyFault[] = [];
  if (!isRecord(document) || !Array.isArray(document.rules))
    return { ok: false, faults: [{ rule: "", field: "rules", message: "a policy is an object with a list of rules" }] };
  const fault: Fault = (field, message) => faults.push({ rule: "", field, message });
  for (const field of Object.keys(document)) if (!policyFields.has(field)) fault(field, "a policy has no such field");
  const taken = new Set(document.rules.map((rule: unknown) => (isRecord(rule) ? rule.name : undefined)));
  const rules = document.rules.map((rule: unknown, index) => {
    const named = isRecord(rule) && typeof rule.name === "string" ? rule.name : `rules[${index}]`;
    return readRule(rule, taken, (field, message) => faults.push({ rule: named, field, message }));
  });
  const linted = lintPolicy({ rules, ...readMode(document.mode, fault), ...readGrants(document, fault) });
  if (faults.length === 0) return linted;
  return { ok: false, faults: linted.ok ? faults : mergeFaults(faults, linted.faults) };
}

/** Writes a policy as a person would: what is default is left out. */
export function formatAuthoredPolicy(policy: ReadonlyPolicy): AuthoredPolicy {
  const { rules, identity, inference, providers = [], mode } = policy;
  return {
    ...(mode === policyMode.observe ? { mode: "observe" as const } : {}),
    rules: rules.map((rule) => ({
      name: rule.name,
      ...(rule.action === ruleAction.deny ? { action: "deny" as const } : {}),
      ...(rule.hosts.length > 0 ? { hosts: [...rule.hosts] } : {}),
      ...(rule.ports.length > 0 ? { ports: [...rule.ports] } : {}),
      ...(rule.allowedIps.length > 0 ? { allowed_ips: [...rule.allowedIps] } : {}),
      ...formatProtocol(rule.protocol),
      ...(rule.methods === undefined || rule.methods.length === 0 ? {} : { methods: [...rule.methods] }),
      ...(rule.paths === undefined || rule.paths.length === 0 ? {} : { paths: [...rule.paths] }),
      ...(rule.expireTime === undefined ? {} : { expire_time: formatExpiry(rule.expireTime) }),
    })),
    ...(identity === undefined ? {} : { identity: { audiences: [...identity.audiences] } }),
    ...(inference === undefined
      ? {}
      : {
          inference: {
            routes: inference.routes.map(({ name, host, port, path, models, credential }) => ({
              name,
              host,
              ...(port === 0 ? {} : { port }),
              ...(path === "" ? {} : { path }),
              models: [...models],
              ...(credential === "" ? {} : { credential }),
            })),
          },
        }),
    ...(providers.length === 0 ? {} : { providers: [...providers] }),
  };
}

/** A policy that allows these hosts on their default ports, or on the one after a colon. */
export function policyOfHosts(hosts: readonly string[]): PolicyCheck {
  const taken = new Set<unknown>();
  const faults: PolicyFault[] = [];
  const rules = hosts.map((written): RuleMessage => {
    const [, host = written, port] = /^(.*?)(?::([0-9]{1,5}))?$/s.exec(written) ?? [];
    const name = ruleName(host, taken);
    return {
      ...emptyRule(),
      name,
      hosts: expand([host], (field, message) => faults.push({ rule: name, field, message })),
      ports: port === undefined ? [] : [Number(port)],
    };
  });
  const linted = lintPolicy({ rules } satisfies PolicyMessage);
  if (faults.length === 0) return linted;
  return { ok: false, faults: linted.ok ? faults : mergeFaults(faults, linted.faults) };
}

/** Hosts with the groups among them as their hosts. */
function expand(hosts: readonly string[], fault: Fault): string[] {
  return hosts.flatMap((written, index) => {
    const found = hostsOf(written);
    if (found === undefined)
      fault(
        `hosts[${index}]`,
        `there is no such group; there are ${hostGroups.map(({ name }) => `@${name}`).join(", ")}`,
      );
    return found ?? [written];
  });
}

type Fault = (field: string, message: string) => void;

function readRule(rule: unknown, taken: Set<unknown>, fault: Fault): RuleMessage {
  if (typeof rule === "string") return { ...emptyRule(), name: ruleName(rule, taken), hosts: expand([rule], fault) };
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
    hosts: expand(hosts, fault),
    ports: readList(rule, "ports", "number", fault),
    allowedIps,
    ...(rule.expire_time === undefined ? {} : { expireTime: parseExpiry(rule.expire_time, fault) }),
    ...(rule.protocol === undefined ? {} : { protocol: readProtocol(rule.protocol, fault) }),
    ...(rule.methods === undefined ? {} : { methods: readList(rule, "methods", "string", fault) }),
    ...(rule.paths === undefined ? {} : { paths: readList(rule, "paths", "string", fault) }),
  };
}

function readProtocol(protocol: unknown, fault: Fault): number {
  if (protocol === "http" || protocol === "https" || protocol === "tcp") return ruleProtocol[protocol];
  fault("protocol", "a protocol is http, https or tcp");
  return ruleProtocol.any;
}

function formatProtocol(protocol: number | undefined): { protocol?: "http" | "https" | "tcp" } {
  const name = (["http", "https", "tcp"] as const).find((each) => ruleProtocol[each] === protocol);
  return name === undefined ? {} : { protocol: name };
}

/** Reads RFC 3339; a fault, and a rule that has expired, for everything else. */
function parseExpiry(text: unknown, fault: Fault): RuleMessage["expireTime"] {
  const written = typeof text === "string" && expiryPattern.test(text) ? writeExpiry(Date.parse(text)) : undefined;
  if (written === undefined) fault("expire_time", "this is a time, as in 2030-01-31T12:00:00Z");
  return written ?? { seconds: 0n, nanos: 0 };
}

const expiryPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?(?:Z|[+-]\d{2}:\d{2})$/;

function formatExpiry(expireTime: NonNullable<RuleMessage["expireTime"]>): string {
  return new Date(readExpiry(expireTime) ?? 0).toISOString();
}

function readMode(mode: unknown, fault: Fault): Pick<PolicyMessage, "mode"> {
  if (mode === "observe") return { mode: policyMode.observe };
  if (mode !== undefined && mode !== "enforce") fault("mode", "a mode is observe or enforce");
  return {};
}

const policyFields: ReadonlySet<string> = new Set(["mode", "rules", "identity", "inference", "providers"]);
const ruleFields: ReadonlySet<string> = new Set([
  ...["name", "action", "hosts", "ports", "allowed_ips", "expire_time"],
  ...["protocol", "methods", "paths"],
]);
const routeFields: ReadonlySet<string> = new Set(["name", "host", "port", "path", "models", "credential"]);

/** The sections beside the rules, as far as they can be read. */
function readGrants(
  document: Record<string, unknown>,
  fault: Fault,
): Pick<PolicyMessage, "identity" | "inference" | "providers"> {
  const identity = readSection(document, "identity", "audiences", fault);
  const inference = readSection(document, "inference", "routes", fault);
  return {
    ...(identity === undefined ? {} : { identity: { audiences: readTexts(identity, "identity.audiences", fault) } }),
    ...(inference === undefined
      ? {}
      : {
          inference: {
            routes: inference.map((route, index) => readRoute(route, `inference.routes[${index}]`, fault)),
          },
        }),
    ...(document.providers === undefined ? {} : { providers: readTexts(document.providers, "providers", fault) }),
  };
}

/** The one list of a section; undefined where the section is absent or cannot be read. */
function readSection(
  document: Record<string, unknown>,
  section: string,
  list: string,
  fault: Fault,
): readonly unknown[] | undefined {
  const value = document[section];
  if (value === undefined) return undefined;
  if (!isRecord(value) || !Array.isArray(value[list])) {
    fault(section, `this is an object with a list of ${list}`);
    return undefined;
  }
  for (const field of Object.keys(value)) if (field !== list) fault(`${section}.${field}`, "there is no such field");
  return value[list];
}

function readRoute(route: unknown, at: string, fault: Fault): RouteMessage {
  if (!isRecord(route)) {
    fault(at, "a route is an object");
    return { name: "", host: "", port: 0, path: "", models: [], credential: "" };
  }
  for (const field of Object.keys(route))
    if (!routeFields.has(field)) fault(`${at}.${field}`, "a route has no such field");
  const text = (field: string): string => {
    const value = route[field] ?? "";
    if (typeof value === "string") return value;
    fault(`${at}.${field}`, "this is a text");
    return "";
  };
  const { port = 443, models = [] } = route;
  const isPort = typeof port === "number" && port !== 0;
  if (!isPort) fault(`${at}.port`, "a port is a whole number from 1 to 65535");
  return {
    name: text("name"),
    host: text("host"),
    port: isPort ? port : 0,
    path: text("path"),
    models: readTexts(models, `${at}.models`, fault),
    credential: text("credential"),
  };
}

function readTexts(list: unknown, field: string, fault: Fault): string[] {
  if (Array.isArray(list) && list.every((entry) => typeof entry === "string")) return list;
  fault(field, "this is a list of texts");
  return [];
}

function emptyRule(): RuleMessage {
  return { name: "", action: ruleAction.allow, hosts: [], ports: [], allowedIps: [] };
}

function readName(name: unknown, host: string, taken: Set<unknown>, fault: Fault): string {
  if (name === undefined) return ruleName(host, taken);
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

/** What lint found beside what reading found: no second fault for one field or a part of it, none for what could not be read. */
function mergeFaults(read: readonly PolicyFault[], linted: readonly PolicyFault[]): PolicyFault[] {
  const isKnown = ({ rule, field }: PolicyFault): boolean =>
    read.some(
      (known) =>
        known.rule === rule &&
        (known.field === "rule" || `${field}.`.startsWith(`${known.field}.`) || field.startsWith(`${known.field}[`)),
    );
  return [...read, ...linted.filter((fault) => !isKnown(fault))];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
