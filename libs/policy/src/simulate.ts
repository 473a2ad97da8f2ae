import { parseAddress } from "./address.ts";
import { reachOf } from "./address-reach.ts";
import type { CompiledPolicy } from "./compile.ts";
import type { Asked, PolicyVerdict } from "./decide.ts";
import { decideDialled } from "./decide-dialled.ts";
import { type Authority, parseWireHost } from "./wire-host.ts";

/** Decisions on record with one destination. */
export interface RecordedDestination {
  /** Canonical, as it was decided on. */
  readonly host: string;
  readonly port: number;
  /** What was dialled; empty where nothing was. */
  readonly address: string;
  /** How many decisions. */
  readonly count: number;
  /** Whether a tunnel was asked for. */
  readonly tunnel?: boolean;
}

/** What a policy makes of a destination. */
export type SimulatedVerdict = PolicyVerdict["verdict"];

/** A destination on record of which two policies make different things. */
export interface SimulatedChange extends RecordedDestination {
  readonly before: SimulatedVerdict;
  readonly after: SimulatedVerdict;
  /** That decides after the change; empty where none matches. */
  readonly rule: string;
}

/** What a candidate would change about what is on record. */
export interface Simulation {
  /** How many decisions were looked at. */
  readonly decisions: number;
  /** Denied before, and not after, or observed before and allowed after. */
  readonly newlyAllowed: readonly SimulatedChange[];
  /** The other way round. */
  readonly newlyDenied: readonly SimulatedChange[];
  /** Names of the candidate's rules that decide on nothing that is on record, in order. */
  readonly unusedRules: readonly string[];
}

/**
 * Decides on destinations on record anew, by the policy in force and by a candidate, as the proxy would at this moment (milliseconds since
 * the epoch). Of what was never dialled no address is known: that a rule allows it does not say that its addresses pass. Methods and paths
 * are not on record: a request counts as one that they allow, and a tunnel to port 443 as TLS. Passes over what is no destination.
 */
export function simulate(
  current: CompiledPolicy,
  candidate: CompiledPolicy,
  recorded: Iterable<RecordedDestination>,
  nowMs: number,
): Simulation {
  let decisions = 0;
  const newlyAllowed: SimulatedChange[] = [];
  const newlyDenied: SimulatedChange[] = [];
  const used = new Set<string>();
  for (const one of recorded) {
    const destination = destinationOf(one);
    if (destination === undefined) continue;
    decisions += one.count;
    const dialled = judgedAddress(one.address);
    const asked = one.tunnel === true && one.port === 443 ? tls : undefined;
    const before = decideDialled(current, destination, dialled, nowMs, asked).verdict;
    const verdict = decideDialled(candidate, destination, dialled, nowMs, asked);
    if (verdict.verdict === "allow" || (verdict.verdict === "deny" && verdict.forbidden)) used.add(verdict.rule);
    if (verdict.verdict === before) continue;
    const change = { ...one, before, after: verdict.verdict, rule: verdict.rule };
    (openness[verdict.verdict] > openness[before] ? newlyAllowed : newlyDenied).push(change);
  }
  return { decisions, newlyAllowed, newlyDenied, unusedRules: candidate.names.filter((name) => !used.has(name)) };
}

const tls: Asked = { kind: "tls" };

const openness: Readonly<Record<SimulatedVerdict, number>> = { deny: 0, would_deny: 1, allow: 2 };

function destinationOf({ host, port }: RecordedDestination): Authority | undefined {
  const parsed = parseWireHost(host) ?? parseWireHost(`[${host}]`);
  return parsed === undefined ? undefined : { host: parsed, port };
}

/** No policy lets such an address be dialled: if one was, development configuration had placed the destination there. */
function judgedAddress(text: string): string | undefined {
  const address = text === "" ? undefined : parseAddress(text);
  return address === undefined || reachOf(address) === "never" ? undefined : text;
}
