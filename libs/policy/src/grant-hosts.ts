import { isForbiddenName } from "./authored-host.ts";
import type { CompiledPolicy, CompiledRule } from "./compile.ts";
import { judge, rulesFor } from "./decide.ts";

/** What a policy leaves of hosts that somebody asks for. */
export interface HostGrant {
  readonly granted: readonly string[];
  readonly refused: readonly string[];
}

/**
 * Says which hosts, in canonical form, a policy lets be named to others (D-09): a name that it allows on some port at this moment, and a wildcard
 * below which it allows every name on some port, with no rule that denies one there. Nothing is granted in part.
 */
export function grantHosts(policy: CompiledPolicy, hosts: readonly string[], nowMs: number): HostGrant {
  const granted = new Set<string>();
  const refused = new Set<string>();
  for (const host of hosts) (isGranted(policy, host, nowMs) ? granted : refused).add(host);
  return { granted: [...granted], refused: [...refused] };
}

function isGranted(policy: CompiledPolicy, host: string, nowMs: number): boolean {
  if (!host.startsWith("*.")) return !isForbiddenName(host) && allowedPorts(rulesFor(policy, host), nowMs).length > 0;
  // "*" is no label, so these are the rules that hold for every name below it
  const ports = allowedPorts(rulesFor(policy, host), nowMs);
  const denying = [...rulesBelow(policy, host.slice(1))].filter(({ action }) => action === "deny");
  return ports.some((port) => !denying.some((rule) => rule.ports === undefined || rule.ports.has(port)));
}

/** The ports that these rules together allow. */
function allowedPorts(rules: readonly CompiledRule[], nowMs: number): readonly number[] {
  const ports = rules.flatMap((rule) => (rule.action === "allow" ? [...(rule.ports ?? [])] : []));
  return [...new Set(ports)].filter((port) => judge(rules, port, nowMs).verdict === "allow");
}

/** Every rule that names something that ends so. */
function* rulesBelow(policy: CompiledPolicy, suffix: string): Generator<CompiledRule> {
  for (const names of [policy.exact, policy.below])
    for (const [name, rules] of names) if (name.endsWith(suffix)) yield* rules;
}
