import { Action } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

describe("GetPolicy", () => {
  it.each([
    { revision: 0n, outcome: 2n },
    { revision: 1n, outcome: 1n },
    { revision: 3n, outcome: "POLICY_NOT_FOUND" },
    { revision: -1n, outcome: "REQUEST_INVALID" },
  ])("of two revisions, answers to revision $revision: $outcome", async ({ revision, outcome }) => {
    const sandbox = fixture.register();
    const policy = { rules: [{ name: "one", action: Action.ALLOW, hosts: ["a.example.test"] }] };
    await fixture.policy.setPolicy({ sandbox, policy });
    await fixture.policy.setPolicy({ sandbox, policy });
    const got = fixture.policy.getPolicy({ sandbox, revision });
    if (typeof outcome === "bigint") expect((await got).revision?.revision).toBe(outcome);
    else expect(await reasonOf(got)).toBe(outcome);
  });

  it("says how far the newest revision is enforced", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    expect((await fixture.policy.getPolicy({ sandbox })).enforcement).toMatchObject({
      sandboxId: sandbox,
      revision: 0n,
    });
    await fixture.policy.reportPolicyStatus({ enforcements: [{ sandboxId: sandbox, revision: 1n }] });
    expect((await fixture.policy.getPolicy({ sandbox })).enforcement).toMatchObject({ revision: 1n, fault: "" });
  });

  it("refuses a sandbox that has no policy", async () => {
    expect(await reasonOf(fixture.policy.getPolicy({ sandbox: fixture.register() }))).toBe("POLICY_NOT_FOUND");
  });
});
