import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/identity/src/tokens/token-binding.ts", () => ({ isBoundTo: () => true }));

it("G-24: the attack matrix finds out that a stolen token works without its key", async () => {
  expect.hasAssertions();
  await expectFoundOut(
    ({ attacker, outcome }) => attacker === "own's session token without its certificate at EDGE" && outcome === "OK",
  );
}, 120_000);
