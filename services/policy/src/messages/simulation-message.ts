import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type PolicySimulation, PolicySimulationSchema, SimulatedChangeSchema, Verdict } from "@sandgate/api/policy";
import type { SimulatedChange, Simulation } from "@sandgate/policy";
import { fromMicroseconds } from "./microseconds.ts";

const shownChanges = 100;

/** A simulation as a message, with the moment of the oldest decision that it looked at. */
export function writeSimulation(simulation: Simulation, firstUs: bigint | undefined): PolicySimulation {
  return create(PolicySimulationSchema, {
    decisionCount: BigInt(simulation.decisions),
    ...(firstUs === undefined ? {} : { firstTime: create(TimestampSchema, fromMicroseconds(firstUs)) }),
    newlyAllowed: writeChanges(simulation.newlyAllowed),
    newlyAllowedCount: countOf(simulation.newlyAllowed),
    newlyDenied: writeChanges(simulation.newlyDenied),
    newlyDeniedCount: countOf(simulation.newlyDenied),
    unusedRules: [...simulation.unusedRules],
  });
}

const verdicts = { allow: Verdict.ALLOWED, deny: Verdict.DENIED, would_deny: Verdict.WOULD_DENY } as const;

/** One for each destination, whatever its addresses, the most frequent first. */
function writeChanges(changes: readonly SimulatedChange[]) {
  const merged = new Map<string, SimulatedChange>();
  for (const change of changes) {
    const key = [change.host, change.port, change.before, change.after, change.rule].join(" ");
    merged.set(key, { ...change, count: change.count + (merged.get(key)?.count ?? 0) });
  }
  return [...merged.values()]
    .sort((one, other) => other.count - one.count)
    .slice(0, shownChanges)
    .map(({ host, port, count, before, after, rule }) =>
      create(SimulatedChangeSchema, {
        host,
        port,
        count: BigInt(count),
        before: verdicts[before],
        after: verdicts[after],
        rule,
      }),
    );
}

function countOf(changes: readonly SimulatedChange[]): bigint {
  return BigInt(changes.reduce((sum, { count }) => sum + count, 0));
}
