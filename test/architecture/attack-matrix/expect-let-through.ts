import { expect } from "vitest";
import { type MatrixRow, runMatrix } from "../../integration/attack-matrix/run-matrix.ts";
import type { Topology } from "../../integration/suite/start-suite.ts";

/** One method for every kind of guard. */
const methods = ["GetSandboxConfig", "ListSandboxes", "CreateSandbox", "IssueEgressToken", "RegisterSandbox"];

/**
 * Runs the attack matrix on a pipeline without one of its guards: it must find rows that are let through, or refused for
 * another reason, and `example` must be one of them.
 */
export async function expectFoundOut(
  example: (row: MatrixRow) => boolean,
  { topology = "all in one", ...options }: { readonly onReady?: () => void; readonly topology?: Topology } = {},
): Promise<void> {
  const isChosen = (method: string): boolean => methods.includes(method);
  const rows = (await runMatrix(topology, { ...options, isChosen, quiet: true })).flatMap((method) => method.rows);
  const wrong = rows.filter(({ expected, outcome }) => expected !== outcome);
  expect(wrong.some(example)).toBe(true);
}
