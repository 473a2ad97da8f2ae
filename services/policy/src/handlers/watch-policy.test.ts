import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, readerOf, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

describe("WatchPolicy", () => {
  it("tells the present state, then each change of policy and enforcement", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    const reader = readerOf(fixture.policy.watchPolicy({ sandbox }));
    expect(await reader.next()).toMatchObject({ revision: { revision: 1n }, enforcement: { revision: 0n } });
    await fixture.policy.reportPolicyStatus({ enforcements: [{ sandboxId: sandbox, revision: 1n }] });
    expect(await reader.next()).toMatchObject({ revision: { revision: 1n }, enforcement: { revision: 1n } });
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    expect(await reader.next()).toMatchObject({ revision: { revision: 2n }, enforcement: { revision: 1n } });
    await fixture.policy.reportPolicyStatus({
      enforcements: [{ sandboxId: sandbox, revision: 1n, fault: "a rule cannot be compiled" }],
    });
    expect(await reader.next()).toMatchObject({ enforcement: { revision: 1n, fault: "a rule cannot be compiled" } });
    await reader.end();
  });

  it("refuses a sandbox without a policy, and ends when the sandbox is retired", async () => {
    const sandbox = fixture.register();
    expect(await reasonOf(readerOf(fixture.policy.watchPolicy({ sandbox })).next())).toBe("POLICY_NOT_FOUND");
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    const reader = readerOf(fixture.policy.watchPolicy({ sandbox }));
    await reader.next();
    fixture.retire(sandbox);
    expect(await reasonOf(reader.next())).toBe("SANDBOX_NOT_FOUND");
  });

  it("ends when its caller gives up", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    const giveUp = new AbortController();
    const reader = readerOf(fixture.policy.watchPolicy({ sandbox }, { signal: giveUp.signal }));
    await reader.next();
    const ended = reasonOf(reader.next());
    giveUp.abort();
    expect(await ended).toBe("CANCELLED");
  });
});
