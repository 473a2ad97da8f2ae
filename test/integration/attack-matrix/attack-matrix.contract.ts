import { beforeAll, describe, expect, it } from "vitest";
import type { Topology } from "../suite/start-suite.ts";
import { attackedMethods, type MethodRows, runMatrix } from "./run-matrix.ts";

/** The attack matrix in one topology. Each has a file of its own, so that they are tried side by side. */
export function attackMatrix(topology: Topology): void {
  describe(`G-24: every method against every attacker, ${topology}`, () => {
    let matrix: readonly MethodRows[];
    beforeAll(async () => {
      matrix = await runMatrix(topology);
    }, 360_000);

    it.each(attackedMethods().map(({ method }) => `${method.parent.typeName}/${method.name}`))("%s", (method) => {
      const rows = matrix.find((one) => one.method === method)?.rows ?? [];
      const wrong = rows
        .filter(({ expected, outcome }) => expected !== outcome)
        .map(({ attacker, expected, outcome }) => `${attacker}: ${outcome}, not ${expected}`);
      expect(wrong).toEqual([]);
      expect(rows.some(({ outcome }) => outcome === "OK")).toBe(true);
      expect(rows.some(({ outcome }) => outcome !== "OK")).toBe(true);
    });
  });
}
