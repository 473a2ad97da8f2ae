import { parseAddress } from "./address.ts";
import { vetAddress } from "./address-reach.ts";
import type { CompiledPolicy } from "./compile.ts";
import { type Asked, decide, type PolicyVerdict } from "./decide.ts";
import type { Authority } from "./wire-host.ts";

/**
 * Decides on a destination of which it is known what address was dialled: as `decide` does, and the address must still be one that the
 * verdict lets be dialled. Undefined: nothing was dialled that the policy judges.
 */
export function decideDialled(
  policy: CompiledPolicy,
  destination: Authority,
  dialled: string | undefined,
  nowMs: number,
  asked?: Asked,
): PolicyVerdict {
  const verdict = decide(policy, destination, nowMs, asked);
  if (verdict.verdict === "deny" || dialled === undefined) return verdict;
  const address = parseAddress(dialled);
  if (address !== undefined && vetAddress(verdict.allowedRanges, address)) return verdict;
  return { verdict: "deny", reason: "ip_not_allowed", rule: verdict.rule, forbidden: true };
}
