import { expect } from "vitest";
import { type Attack, runMatrix } from "../integration/attack-matrix/run-matrix.ts";
import type { Topology } from "../integration/suite/start-suite.ts";

/**
 * Rows of the attack matrix: a method and an attacker, by the names that the matrix has for them. Every kind of attacker,
 * listener, call and guard is among them. What must become of each is the matrix's matter.
 */
const twentyRows: readonly (readonly [method: string, attacker: string])[] = [
  ["GetPrincipal", "nobody at EDGE"],
  ["GetPrincipal", "own with an expired certificate at MTLS"],
  ["ListSandboxes", "admin with an expired token at EDGE"],
  ["ListSandboxes", "an unsigned token at EDGE"],
  ["ListSandboxes", "own at CONTROL"],
  ["CreateSandbox", "viewer who says it calls for an admin at MTLS"],
  ["GetSandbox", "another organization's admin at EDGE"],
  ["WatchSandbox", "operator at EDGE"],
  ["RegisterSandbox", "service policy at MTLS"],
  ["IssueSandboxToken", "other's bootstrap token at ENROL"],
  ["RefreshSandboxToken", "operator at MTLS"],
  ["GetSandboxConfig", "own at MTLS"],
  ["GetSandboxConfig", "other at MTLS"],
  ["GetSandboxConfig", "own's egress token at EDGE"],
  ["GetSandboxConfig", "own's session token without its certificate at EDGE"],
  ["GetSandboxConfig", "own with other's token at MTLS"],
  ["GetSandboxConfig", "own with an admin's token at CONTROL"],
  ["GetSandboxConfig", "own with a token that was replaced at MTLS"],
  ["ConnectSupervisor", "deleted at CONTROL"],
  ["PushSandboxLogs", "revoked at CONTROL"],
];

/** Runs twenty rows of the attack matrix with a client of another make: each must end as it does for ours. */
export async function expectTwentyRows(topology: Topology, attack: Attack): Promise<void> {
  const isChosen = (method: string, attacker: string): boolean =>
    twentyRows.some(([ofMethod, ofAttacker]) => ofMethod === method && ofAttacker === attacker);
  const rows = (await runMatrix(topology, { isChosen, attack })).flatMap((method) => method.rows);
  expect(rows).toHaveLength(twentyRows.length);
  expect(rows.map(({ attacker, outcome }) => [attacker, outcome])).toEqual(
    rows.map(({ attacker, expected }) => [attacker, expected]),
  );
}
