import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

vi.mock("../../../libs/identity/src/steps/require-gateway.ts", () => ({ requireGateway: () => {} }));

it("G-24: the attack matrix finds out that anybody with a certificate may pass for the web gateway", async () => {
  expect.hasAssertions();
  await expectFoundOut(
    ({ attacker, outcome }) => attacker === "operator at the gateway's way in at EDGE" && outcome === "OK",
    { topology: "over mutual TLS" },
  );
}, 120_000);
