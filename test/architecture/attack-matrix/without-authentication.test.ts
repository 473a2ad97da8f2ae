import type { Call } from "@sandgate/rpc";
import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

const planted = vi.hoisted(() => ({ isOn: false }));

vi.mock("../../../libs/identity/src/steps/authenticate-step.ts", async (original) => {
  const real = await original<typeof import("../../../libs/identity/src/steps/authenticate-step.ts")>();
  return {
    authenticateStep: (deps: Parameters<typeof real.authenticateStep>[0]) => {
      const step = real.authenticateStep(deps);
      return (call: Call) => (planted.isOn ? undefined : step(call));
    },
  };
});

it("G-24: the attack matrix finds out that nobody is authenticated", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "operator at EDGE" && outcome !== "OK", {
    onReady: () => {
      planted.isOn = true;
    },
  });
}, 120_000);
