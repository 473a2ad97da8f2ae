import { Action, ProposalState, Verdict } from "@sandgate/api/policy";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
const nowMs = Date.parse("2026-03-01T12:00:00Z");
beforeAll(async () => {
  fixture = await startPolicyFixture({ now: () => nowMs });
});
afterAll(() => fixture.stop());

let sandbox: string;
let runs = 0;
const allow = (name: string, host: string) => ({ name, action: Action.ALLOW, hosts: [host] });
const propose = async (host: string) => {
  const source = { case: "rules" as const, value: { rules: [allow("x", host)] } };
  const { proposals } = await fixture.asSandbox(sandbox).submitPolicyAnalysis({ sandbox, source });
  return proposals[0]?.proposalId ?? "";
};

beforeEach(async () => {
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: { rules: [allow("old", "old.example.com")] } });
  runs += 1;
  const decisionIds = ["a", "b", "c"].map((letter) => `dec-${letter}${String.fromCharCode(96 + runs).repeat(19)}`);
  const decision = (number: number, host: string, verdict: Verdict, ageS: number) => ({
    decisionId: decisionIds[number] ?? "",
    sandboxId: sandbox,
    time: { seconds: BigInt(nowMs / 1000 - ageS) },
    verdict,
    reason: verdict === Verdict.DENIED ? "host_not_allowed" : "",
    method: "CONNECT",
    host,
    port: 443,
  });
  await fixture.policy.reportDecisions({
    proxyRunId: `draft-${runs}`,
    firstSequence: 1n,
    decisions: [
      decision(0, "old.example.com", Verdict.ALLOWED, 3600),
      decision(1, "new.example.com", Verdict.DENIED, 60),
      decision(2, "new.example.com", Verdict.DENIED, 30),
    ],
  });
});

describe("GetDraftPolicy", () => {
  it("shows a user the policy with everything that is pending, and what it would change", async () => {
    await propose("new.example.com");
    await propose("xn--pypal-4ve.com");
    const draft = await fixture.policy.getDraftPolicy({ sandbox });
    expect(draft).toMatchObject({
      baseRevision: 1n,
      fault: "",
      simulation: {
        decisionCount: 3n,
        newlyAllowed: [{ host: "new.example.com", count: 2n, before: Verdict.DENIED, after: Verdict.ALLOWED }],
        newlyAllowedCount: 2n,
        newlyDenied: [],
        unusedRules: ["xn-pypal-4ve-com"],
      },
      warnings: [{ field: "hosts[0]", message: "mixes scripts (Latin, Cyrillic), as names made to deceive do" }],
    });
    expect(draft.draft?.rules).toHaveLength(3);
    expect(draft.proposals).toHaveLength(2);
  });

  it("shows a sandbox what became of its own proposals, and nothing else", async () => {
    const proposalId = await propose("new.example.com");
    await fixture.policy.submitPolicyAnalysis({
      sandbox,
      source: { case: "rules", value: { rules: [allow("u", "user.example.com")] } },
    });
    await fixture.policy.rejectPolicyProposal({ sandbox, proposalId, expectedVersion: 1n, reason: "internal" });
    const seen = await fixture.asSandbox(sandbox).getDraftPolicy({ sandbox });
    expect(seen.proposals).toMatchObject([
      { proposalId, state: ProposalState.REJECTED, reviewer: "", reviewReason: "" },
    ]);
    expect(seen).toMatchObject({ baseRevision: 0n, warnings: [] });
    expect([seen.draft, seen.simulation]).toEqual([undefined, undefined]);
  });

  it("says why where the draft would be no valid policy", async () => {
    const rules = Array.from({ length: 500 }, (_, index) => allow(`r${index}`, `h${index}.example.com`));
    await fixture.policy.setPolicy({ sandbox, policy: { rules } });
    const proposalId = await propose("new.example.com");
    expect(await fixture.policy.getDraftPolicy({ sandbox })).toMatchObject({ fault: "a policy has at most 500 rules" });
    const review = await fixture.policy.getPolicyProposal({ sandbox, proposalId });
    expect(review.proposal?.proposalId).toBe(proposalId);
    expect(review.simulation).toBeUndefined();
    const approve = fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect(await reasonOf(approve)).toBe("POLICY_INVALID");
  });
});

describe("GetPolicyProposal", () => {
  it("simulates its approval on the policy as it is now", async () => {
    const proposalId = await propose("*.example.com");
    const { simulation, warnings, baseRevision } = await fixture.policy.getPolicyProposal({ sandbox, proposalId });
    expect(simulation).toMatchObject({ newlyAllowed: [{ host: "new.example.com", rule: "any-example-com" }] });
    expect(warnings).toMatchObject([{ message: "allows every name below it, at any depth" }]);
    expect(baseRevision).toBe(1n);
    await fixture.policy.approvePolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect((await fixture.policy.getPolicyProposal({ sandbox, proposalId })).simulation).toBeUndefined();
  });
});

describe("SimulatePolicy", () => {
  it.each([
    ["all that is on record", {}, 3n],
    ["the newest of each verdict", { maxDecisions: 1 }, 2n],
    ["the last five minutes", { maxAge: { seconds: 300n } }, 2n],
    ["the last second", { maxAge: { seconds: 1n } }, 0n],
  ])("looks at %s", async (_what, window, decisionCount) => {
    const policy = { rules: [allow("new", "new.example.com")] };
    const { simulation } = await fixture.policy.simulatePolicy({ sandbox, policy, ...window });
    expect(simulation?.decisionCount).toBe(decisionCount);
  });

  it("names what would be lost", async () => {
    const { simulation, baseRevision } = await fixture.policy.simulatePolicy({ sandbox, policy: {} });
    expect(simulation).toMatchObject({ newlyDenied: [{ host: "old.example.com", count: 1n }], newlyDeniedCount: 1n });
    expect(baseRevision).toBe(1n);
  });

  it.each([
    [{ policy: undefined }, "REQUEST_INVALID"],
    [{ policy: { rules: [allow("wide", "*.com")] } }, "POLICY_INVALID"],
    [{ maxDecisions: 100_001 }, "REQUEST_INVALID"],
    [{ maxAge: { seconds: -1n } }, "REQUEST_INVALID"],
  ])("refuses %o with %s", async (change, reason) => {
    expect(await reasonOf(fixture.policy.simulatePolicy({ sandbox, policy: {}, ...change } as never))).toBe(reason);
  });
});

describe("ListPolicyProposals", () => {
  it("lists by state, newest first, page by page", async () => {
    const ids = [];
    for (const name of ["a", "b", "c", "d"]) ids.push(await propose(`${name}.example.com`));
    const rejected = ids[1] ?? "";
    await fixture.policy.rejectPolicyProposal({ sandbox, proposalId: rejected, expectedVersion: 1n });
    const read = async (states: ProposalState[]) => {
      const seen: string[] = [];
      for (let pageToken = ""; ; ) {
        const page = await fixture.policy.listPolicyProposals({ sandbox, states, pageSize: 3, pageToken });
        seen.push(...page.proposals.map(({ proposalId }) => proposalId));
        if (page.nextPageToken === "") return seen;
        pageToken = page.nextPageToken;
      }
    };
    expect((await read([])).sort()).toEqual([...ids].sort());
    expect(await read([ProposalState.REJECTED])).toEqual([rejected]);
    expect(await read([ProposalState.PENDING])).toHaveLength(3);
    expect(await reasonOf(fixture.policy.listPolicyProposals({ sandbox, states: [9 as ProposalState] }))).toBe(
      "REQUEST_INVALID",
    );
    const { nextPageToken } = await fixture.policy.listPolicyProposals({ sandbox, pageSize: 1 });
    const other = fixture.policy.listPolicyProposals({
      sandbox,
      pageToken: nextPageToken,
      states: [ProposalState.PENDING],
    });
    expect(await reasonOf(other)).toBe("PAGE_TOKEN_INVALID");
  });
});
