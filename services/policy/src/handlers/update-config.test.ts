import { Action, Mode, ProposalSource } from "@sandgate/api/policy";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

let sandbox: string;
const rule = (name: string, host: string, action = Action.ALLOW) => ({ name, action, hosts: [host] });
beforeEach(async () => {
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: { rules: [rule("one", "one.example.com")] } });
});

describe("UpdateConfig by a user", () => {
  it("adds and removes rules, changes the mode, and leaves the rest", async () => {
    const { outcome } = await fixture.policy.updateConfig({
      sandbox,
      addRules: [
        rule("two", "two.example.com"),
        rule("no", "no.example.com", Action.DENY),
        rule("", "three.example.com"),
      ],
      removeRules: ["one"],
      mode: Mode.OBSERVE,
      expectedRevision: 1n,
    });
    expect(outcome).toMatchObject({ case: "revision", value: { revision: 2n, policy: { mode: Mode.OBSERVE } } });
    const { revision } = await fixture.policy.getPolicy({ sandbox });
    expect(revision?.policy?.rules.map(({ name }) => name)).toEqual(["two", "no", "three-example-com"]);
    const back = await fixture.policy.updateConfig({ sandbox, mode: Mode.ENFORCE });
    expect(back.outcome.value).toMatchObject({ policy: { mode: Mode.UNSPECIFIED, rules: [{}, {}, {}] } });
  });

  it.each([
    ["a rule to remove that there is not", { removeRules: ["nope"] }, "REQUEST_INVALID"],
    ["another revision", { expectedRevision: 7n }, "POLICY_REVISION_STALE"],
    ["a rule that lint refuses", { addRules: [rule("wide", "*.com")] }, "POLICY_INVALID"],
    ["a mode that is none", { mode: 9 as Mode }, "POLICY_INVALID"],
  ])("refuses %s", async (_what, change, reason) => {
    expect(await reasonOf(fixture.policy.updateConfig({ sandbox, ...change }))).toBe(reason);
    expect((await fixture.policy.getPolicy({ sandbox })).revision?.revision).toBe(1n);
  });

  it("G-31 is in the audit log with its reason", async () => {
    await fixture.policy.updateConfig({ sandbox, mode: Mode.OBSERVE, reason: "to learn" });
    const { events } = await fixture.policy.listAuditEvents({ sandboxId: sandbox, action: "policy.update_config" });
    expect(events).toMatchObject([{ details: { revision: "2", reason: "to learn" } }]);
  });

  it("answers a repeated request as the first time", async () => {
    const request = { sandbox, addRules: [rule("two", "two.example.com")], requestId: crypto.randomUUID() };
    const first = await fixture.policy.updateConfig(request);
    expect(await fixture.policy.updateConfig(request)).toEqual(first);
    expect((await fixture.policy.getPolicy({ sandbox })).revision?.revision).toBe(2n);
  });
});

describe("G-21 UpdateConfig by a sandbox", () => {
  it("is a proposal, never policy", async () => {
    const own = fixture.asSandbox(sandbox);
    const { outcome } = await own.updateConfig({
      sandbox,
      addRules: [rule("two", "two.example.com")],
      reason: "please",
    });
    expect(outcome).toMatchObject({
      case: "proposal",
      value: { source: ProposalSource.SANDBOX, reason: "please", rules: [{ hosts: ["two.example.com"] }] },
    });
    const { revision } = await fixture.policy.getPolicy({ sandbox });
    expect(revision).toMatchObject({ revision: 1n, policy: { rules: [{ name: "one" }] } });
  });

  it.each([
    ["take a rule out", { removeRules: ["one"] }],
    ["have itself merely observed", { mode: Mode.OBSERVE }],
    ["ask which revision is the newest", { expectedRevision: 1n }],
  ])("cannot %s", async (_what, change) => {
    const addRules = [rule("two", "two.example.com")];
    expect(await reasonOf(fixture.asSandbox(sandbox).updateConfig({ sandbox, addRules, ...change }))).toBe(
      "REQUEST_INVALID",
    );
    expect((await fixture.policy.listPolicyProposals({ sandbox })).proposals).toEqual([]);
  });
});
