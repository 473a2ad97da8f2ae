import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/identity/src/steps/authorize-step.ts", () => ({ authorizeStep: () => () => {} }));

it("G-24: the attack matrix finds out that every principal may call", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "viewer at EDGE" && outcome === "OK");
}, 120_000);
