import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/identity/src/steps/require-allowed-peer.ts", () => ({ requireAllowedPeer: () => {} }));

it("G-24: the attack matrix finds out that any peer may call", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "service policy at MTLS" && outcome === "OK");
}, 120_000);
