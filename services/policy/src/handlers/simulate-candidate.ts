import type { PolicySimulation } from "@sandgate/api/policy";
import type { SandboxScope } from "@sandgate/identity";
import { compilePolicy, type ReadonlyPolicy, simulate } from "@sandgate/policy";
import { writeSimulation } from "../messages/simulation-message.ts";
import type { ProposalStore } from "../store/proposal-store.ts";

/** How many decisions of each verdict a review looks at. */
export const reviewedDecisions = 10_000;

/** What a candidate would change about a sandbox's decisions on record. Both policies are valid ones. */
export async function simulateCandidate(
  deps: { readonly proposals: Pick<ProposalStore, "summarizeDecisions">; readonly clock: () => number },
  scope: SandboxScope,
  policies: { readonly current: ReadonlyPolicy; readonly candidate: ReadonlyPolicy },
  selection: { readonly limit: number; readonly sinceMs?: number | undefined } = { limit: reviewedDecisions },
): Promise<PolicySimulation> {
  const recorded = await deps.proposals.summarizeDecisions(scope, { ...selection, deniedOnly: false });
  const { current, candidate } = policies;
  const simulation = simulate(compilePolicy(current), compilePolicy(candidate), recorded, deps.clock());
  const firstUs = recorded.reduce<bigint | undefined>(
    (first, one) => (first === undefined || one.firstUs < first ? one.firstUs : first),
    undefined,
  );
  return writeSimulation(simulation, firstUs);
}
