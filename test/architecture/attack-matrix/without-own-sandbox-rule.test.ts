import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/identity/src/steps/require-own-sandbox.ts", () => ({ requireOwnSandbox: () => {} }));

it("G-24: the attack matrix finds out that a sandbox connection may carry somebody else", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "own with an admin's token at MTLS" && outcome === "OK");
}, 120_000);
