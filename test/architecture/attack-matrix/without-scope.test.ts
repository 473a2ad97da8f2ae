import type { Call } from "@sandgate/rpc";
import { expect, it, vi } from "vitest";
import { expectFoundOut } from "./expect-let-through.ts";

// grants what the request names, to whomever
vi.mock("../../../libs/identity/src/steps/scope-step.ts", async (original) => {
  const real = await original<typeof import("../../../libs/identity/src/steps/scope-step.ts")>();
  const { grantSandboxScope } = await import("../../../libs/identity/src/sandbox-scope.ts");
  return {
    ...real,
    scopeStep:
      (deps: Parameters<typeof real.scopeStep>[0]) =>
      async (call: Call): Promise<void> => {
        const field = real.sandboxFieldOf(call.method);
        if (field === undefined) return;
        const named = String((call.request as unknown as Record<string, unknown>)[field.localName]);
        const subject = await deps.register.findSandbox(named);
        if (subject !== undefined) grantSandboxScope(call, subject);
      },
  };
});

it("G-24: the attack matrix finds out that nobody compares the sandbox with the principal", async () => {
  expect.hasAssertions();
  await expectFoundOut(({ attacker, outcome }) => attacker === "other at MTLS" && outcome === "OK");
}, 120_000);
