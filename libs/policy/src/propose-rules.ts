import { getDomain, getPublicSuffix } from "tldts";
import { HostFault, parseAuthoredHost } from "./authored-host.ts";
import { type RuleMessage, ruleAction } from "./policy-message.ts";
import { ruleName } from "./rule-name.ts";

/** Decisions with one destination that a policy did not allow, or would not have. */
export interface DeniedDestination {
  readonly host: string;
  readonly port: number;
  /** Whether a tunnel was asked for, rather than a plain HTTP request. */
  readonly tunnel: boolean;
  readonly count: number;
}

/** A rule that would have allowed what was denied, and what that was. */
export interface ProposedRule<D extends DeniedDestination> {
  readonly rule: RuleMessage;
  /** By host, port and protocol. */
  readonly evidence: readonly D[];
}

/**
 * One rule for each host that was denied, with the ports that were asked for, the most frequent first. With `generalize`, hosts with one
 * parent and the same ports become one rule for everything below that parent: never below a public suffix, nor below a name under which
 * strangers register. Addresses, and names that no policy can open, are passed over.
 */
export function proposeRules<D extends DeniedDestination>(
  denied: readonly D[],
  options: { readonly generalize: boolean },
): readonly ProposedRule<D>[] {
  const hosts = new Map<string, D[]>();
  for (const one of denied) {
    if (!isProposable(one.host)) continue;
    const known = hosts.get(one.host);
    if (known === undefined) hosts.set(one.host, [one]);
    else known.push(one);
  }
  const groups = options.generalize ? generalize(hosts) : hosts;
  const taken = new Set<unknown>();
  return [...groups]
    .map(([host, found]) => ({ host, evidence: [...found].sort(byHostPortProtocol), count: countOf(found) }))
    .sort((one, other) => other.count - one.count || compare(one.host, other.host))
    .map(({ host, evidence }) => ({
      rule: {
        name: ruleName(host, taken),
        action: ruleAction.allow,
        hosts: [host],
        ports: portsOf(evidence),
        allowedIps: [],
      },
      evidence,
    }));
}

function generalize<D extends DeniedDestination>(hosts: ReadonlyMap<string, D[]>): ReadonlyMap<string, D[]> {
  const families = new Map<string, string[]>();
  for (const [host, found] of hosts) {
    const parent = sharedParent(host);
    if (parent === undefined) continue;
    const key = `${parent} ${portsOf(found).join()}`;
    families.set(key, [...(families.get(key) ?? []), host]);
  }
  const result = new Map(hosts);
  for (const [key, family] of families) {
    const wildcard = `*.${key.split(" ")[0]}`;
    if (family.length < 2) continue;
    const found = family.flatMap((host) => hosts.get(host) ?? []);
    for (const host of family) result.delete(host);
    result.set(wildcard, [...(result.get(wildcard) ?? []), ...found]);
  }
  return result;
}

/** The name below which the host is, where it belongs to one registrant. */
function sharedParent(host: string): string | undefined {
  const parent = host.slice(host.indexOf(".") + 1);
  const options = { allowPrivateDomains: true, extractHostname: false };
  const owned = parent !== host && getPublicSuffix(parent, options) !== parent && getDomain(parent, options) !== null;
  return owned ? parent : undefined;
}

function isProposable(host: string): boolean {
  try {
    return parseAuthoredHost(host) === host && !host.startsWith("*.");
  } catch (error) {
    if (error instanceof HostFault) return false;
    throw error;
  }
}

function portsOf(found: readonly DeniedDestination[]): number[] {
  return [...new Set(found.map(({ port }) => port))].sort((one, other) => one - other);
}

function countOf(found: readonly DeniedDestination[]): number {
  return found.reduce((sum, { count }) => sum + count, 0);
}

function byHostPortProtocol(one: DeniedDestination, other: DeniedDestination): number {
  return compare(one.host, other.host) || one.port - other.port || Number(one.tunnel) - Number(other.tunnel);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
