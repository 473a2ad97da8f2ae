import { Action, ProposalState } from "@sandgate/api/policy";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture, userSpiffeId } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
const nowMs = Date.parse("2026-03-01T12:00:00Z");
beforeAll(async () => {
  fixture = await startPolicyFixture({ now: () => nowMs });
});
afterAll(() => fixture.stop());

let sandbox: string;
let proposalId: string;
const rule = (name: string, host: string) => ({ name, action: Action.ALLOW, hosts: [host] });
const namesOf = async () =>
  (await fixture.policy.getPolicy({ sandbox })).revision?.policy?.rules.map(({ name, hosts }) => `${name}: ${hosts}`);

beforeEach(async () => {
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: { rules: [rule("new-example-com", "known.example.com")] } });
  const { proposals } = await fixture.asSandbox(sandbox).submitPolicyAnalysis({
    sandbox,
    source: { case: "rules", value: { rules: [rule("x", "new.example.com")] } },
  });
  proposalId = proposals[0]?.proposalId ?? "";
});

describe("ApprovePolicyProposal", () => {
  it("adds the rules to the newest policy under names that are free, for a time", async () => {
    const approved = await fixture.policy.approvePolicyProposal({
      sandbox,
      proposalId,
      expectedVersion: 1n,
      ttl: { seconds: 60n },
      reason: "for the tests",
    });
    expect(approved).toMatchObject({
      proposal: {
        state: ProposalState.APPROVED,
        version: 2n,
        reviewer: userSpiffeId,
        reviewReason: "for the tests",
        grantedRevision: 2n,
        grantedRules: [{ name: "new-example-com-2", expireTime: { seconds: BigInt(nowMs / 1000 + 60), nanos: 0 } }],
      },
      revision: { revision: 2n, author: userSpiffeId },
    });
    expect(await namesOf()).toEqual(["new-example-com: known.example.com", "new-example-com-2: new.example.com"]);
    const { events } = await fixture.policy.listAuditEvents({ sandboxId: sandbox, action: "policy.approve" });
    expect(events).toMatchObject([{ principal: userSpiffeId, details: { proposal: proposalId, revision: "2" } }]);
  });

  it("keeps mode, audiences and models of the policy", async () => {
    const policy = { rules: [rule("one", "known.example.com")], mode: 2, identity: { audiences: ["sts.example.com"] } };
    await fixture.policy.setPolicy({ sandbox, policy });
    const { revision } = await fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect(revision?.policy).toMatchObject({ mode: 2, identity: { audiences: ["sts.example.com"] } });
  });

  it("does not approve what was edited after it was reviewed", async () => {
    await fixture.policy.updatePolicyProposal({
      sandbox,
      proposalId,
      rules: [rule("x", "*.example.com")],
      expectedVersion: 1n,
    });
    const approve = fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect(await reasonOf(approve)).toBe("PROPOSAL_CHANGED");
    expect(await namesOf()).toHaveLength(1);
  });

  it("approves once, however many reviewers do at the same time", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, () =>
        reasonOf(fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n })),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "OK")).toHaveLength(1);
    for (const outcome of outcomes)
      expect(["OK", "PROPOSAL_CHANGED", "PROPOSAL_DECIDED", "POLICY_REVISION_STALE"]).toContain(outcome);
    expect(await namesOf()).toHaveLength(2);
  });

  it("answers a repeated request as the first time, also after it was undone; a new one is refused", async () => {
    const request = { sandbox, proposalId, expectedVersion: 1n, requestId: crypto.randomUUID() };
    const first = await fixture.policy.approvePolicyProposal(request);
    expect(await fixture.policy.approvePolicyProposal(request)).toEqual(first);
    await fixture.policy.undoPolicyProposal({ sandbox, proposalId, expectedVersion: 2n });
    expect(await fixture.policy.approvePolicyProposal(request)).toEqual(first);
    expect(await namesOf()).toEqual(["new-example-com: known.example.com"]);
    for (const expectedVersion of [1n, 2n, 3n])
      expect(await reasonOf(fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion }))).toBe(
        "PROPOSAL_DECIDED",
      );
  });

  it("leaves rules that have expired behind", async () => {
    const old = { ...rule("old", "old.example.com"), expireTime: { seconds: BigInt(nowMs / 1000) } };
    await fixture.policy.setPolicy({ sandbox, policy: { rules: [old] } });
    await fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect(await namesOf()).toEqual(["new-example-com: new.example.com"]);
  });

  it.each([
    ["no version", { expectedVersion: 0n }, "REQUEST_INVALID"],
    ["no time", { ttl: { seconds: 0n } }, "REQUEST_INVALID"],
    ["a negative time", { ttl: { seconds: -60n } }, "REQUEST_INVALID"],
    ["a century", { ttl: { seconds: 3_153_600_000n } }, "REQUEST_INVALID"],
    ["a huge reason", { reason: "x".repeat(1001) }, "REQUEST_INVALID"],
    ["an id that is none", { proposalId: "' or true --" }, "PROPOSAL_NOT_FOUND"],
    ["a proposal that there is not", { proposalId: `prp-${"a".repeat(20)}` }, "PROPOSAL_NOT_FOUND"],
  ])("refuses %s", async (_what, change, reason) => {
    const call = fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n, ...change });
    expect(await reasonOf(call)).toBe(reason);
  });

  it("does not find another sandbox's proposal", async () => {
    const other = fixture.register();
    await fixture.policy.setPolicy({ sandbox: other, policy: {} });
    const named = { sandbox: other, proposalId, expectedVersion: 1n };
    expect(await reasonOf(fixture.policy.approvePolicyProposal(named))).toBe("PROPOSAL_NOT_FOUND");
    expect(await reasonOf(fixture.policy.getPolicyProposal(named))).toBe("PROPOSAL_NOT_FOUND");
    expect(await reasonOf(fixture.policy.rejectPolicyProposal(named))).toBe("PROPOSAL_NOT_FOUND");
  });
});

describe("RejectPolicyProposal", () => {
  it("ends a proposal, which nothing opens again", async () => {
    const { proposal } = await fixture.policy.rejectPolicyProposal({
      sandbox,
      proposalId,
      expectedVersion: 1n,
      reason: "no",
    });
    expect(proposal).toMatchObject({ state: ProposalState.REJECTED, version: 2n, reviewReason: "no" });
    const named = { sandbox, proposalId, expectedVersion: 2n };
    expect(await reasonOf(fixture.policy.approvePolicyProposal(named))).toBe("PROPOSAL_DECIDED");
    expect(await reasonOf(fixture.policy.undoPolicyProposal(named))).toBe("PROPOSAL_DECIDED");
    expect(await reasonOf(fixture.policy.updatePolicyProposal({ ...named, rules: [rule("x", "a.example.com")] }))).toBe(
      "PROPOSAL_DECIDED",
    );
  });
});

describe("UpdatePolicyProposal", () => {
  it("replaces the rules of a pending proposal, and lint sees them", async () => {
    const edit = (host: string, expectedVersion: bigint) =>
      fixture.policy.updatePolicyProposal({ sandbox, proposalId, rules: [rule("narrow", host)], expectedVersion });
    expect((await edit("a.new.example.com", 1n)).proposal).toMatchObject({ version: 2n, rules: [{ name: "narrow" }] });
    expect(await reasonOf(edit("b.new.example.com", 1n))).toBe("PROPOSAL_CHANGED");
    expect(await reasonOf(edit("*.com", 2n))).toBe("POLICY_INVALID");
  });

  it("does not make two pending proposals of one", async () => {
    await fixture.policy.submitPolicyAnalysis({
      sandbox,
      source: { case: "rules", value: { rules: [rule("x", "second.example.com")] } },
    });
    const edit = { sandbox, proposalId, rules: [rule("y", "second.example.com")], expectedVersion: 1n };
    expect(await reasonOf(fixture.policy.updatePolicyProposal(edit))).toBe("REQUEST_INVALID");
  });
});

describe("UndoPolicyProposal", () => {
  beforeEach(() => fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n }));

  it("makes a revision without the rules, and leaves every other as it is", async () => {
    await fixture.policy.updateConfig({ sandbox, addRules: [rule("later", "later.example.com")] });
    const undone = await fixture.policy.undoPolicyProposal({ sandbox, proposalId, expectedVersion: 2n });
    expect(undone).toMatchObject({ proposal: { state: ProposalState.UNDONE }, revision: { revision: 4n } });
    expect(await namesOf()).toEqual(["new-example-com: known.example.com", "later: later.example.com"]);
  });

  it("makes none where the rules are gone already", async () => {
    await fixture.policy.setPolicy({ sandbox, policy: { rules: [] } });
    const undone = await fixture.policy.undoPolicyProposal({ sandbox, proposalId, expectedVersion: 2n });
    expect(undone).toMatchObject({ proposal: { state: ProposalState.UNDONE }, revision: { revision: 3n } });
    expect((await fixture.policy.getPolicy({ sandbox })).revision?.revision).toBe(3n);
  });

  it("refuses where somebody gave such a rule another meaning since", async () => {
    await fixture.policy.setPolicy({ sandbox, policy: { rules: [rule("new-example-com-2", "other.example.com")] } });
    const undo = fixture.policy.undoPolicyProposal({ sandbox, proposalId, expectedVersion: 2n });
    expect(await reasonOf(undo)).toBe("PROPOSAL_RULES_CHANGED");
  });
});
