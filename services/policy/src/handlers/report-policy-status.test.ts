import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

const now = 1_800_000_000_000;
let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture({ now: () => now });
});
afterAll(() => fixture.stop());

describe("ReportPolicyStatus", () => {
  it.each([
    { fault: "an id that is none", enforcements: [{ sandboxId: "web", revision: 1n }] },
    { fault: "a negative revision", enforcements: [{ sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa", revision: -1n }] },
    { fault: "more than 1000", enforcements: Array(1001).fill({}) },
  ])("refuses $fault", async ({ enforcements }) => {
    expect(await reasonOf(fixture.policy.reportPolicyStatus({ enforcements }))).toBe("REQUEST_INVALID");
  });

  it("keeps a fault as text that can be stored, and the moment of the report where none is given", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    await fixture.policy.reportPolicyStatus({
      enforcements: [{ sandboxId: sandbox, revision: 0n, fault: `\0${"f".repeat(2000)}` }],
    });
    const { enforcement } = await fixture.policy.getPolicy({ sandbox });
    expect(enforcement?.fault).toBe(`\ufffd${"f".repeat(999)}`);
    expect(enforcement?.enforceTime?.seconds).toBe(BigInt(now / 1000));
  });
});
