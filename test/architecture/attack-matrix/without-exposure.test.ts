import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/rpc/src/pipeline/exposure.ts", () => ({ isExposed: () => true }));

it("G-24: the attack matrix finds out that methods exist on every listener", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "own at CONTROL" && outcome !== "METHOD_NOT_FOUND");
}, 120_000);
