import { Action, ProposalSource, ProposalState, Verdict } from "@sandgate/api/policy";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  organizationId,
  type PolicyFixture,
  reasonOf,
  startPolicyFixture,
  userSpiffeId,
} from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
let nowMs = Date.parse("2026-03-01T12:00:00Z");
beforeAll(async () => {
  fixture = await startPolicyFixture({ now: () => nowMs });
});
afterAll(() => fixture.stop());

let sandbox: string;
beforeEach(async () => {
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: policyOf("known.example.com") });
});

const policyOf = (...hosts: string[]) => ({ rules: [{ name: "one", action: Action.ALLOW, hosts }] });
const rules = (...hosts: string[]) => ({
  case: "rules" as const,
  value: { rules: [{ name: "mine", action: Action.ALLOW, hosts }] },
});

let reported = 0;
async function decide(about: string, host: string, more: object = {}): Promise<string> {
  reported += 1;
  const decisionId = `dec-${String(reported)
    .padStart(20, "c")
    .replace(/[0189]/g, (digit) => "abcd"["0189".indexOf(digit)] ?? "")}`;
  const decision = {
    decisionId,
    sandboxId: about,
    verdict: Verdict.DENIED,
    reason: "host_not_allowed",
    method: "CONNECT",
    host,
    port: 443,
    ...more,
  };
  await fixture.policy.reportDecisions({ proxyRunId: `run-${reported}`, firstSequence: 1n, decisions: [decision] });
  return decisionId;
}

describe("a sandbox that proposes (G-21)", () => {
  it("gets a proposal, and its policy stays as it is", async () => {
    const own = fixture.asSandbox(sandbox);
    const { proposals } = await own.submitPolicyAnalysis({
      sandbox,
      reason: "tests",
      source: rules("NEW.example.com"),
    });
    expect(proposals).toMatchObject([
      {
        sandboxId: sandbox,
        state: ProposalState.PENDING,
        version: 1n,
        source: ProposalSource.SANDBOX,
        proposer: `spiffe://sandgate.local/sandbox/${sandbox}`,
        reason: "tests",
        // no name of the sandbox's own stands before the reviewer
        rules: [{ name: "new-example-com", hosts: ["new.example.com"] }],
      },
    ]);
    expect(await fixture.policy.getPolicy({ sandbox })).toMatchObject({ revision: { revision: 1n } });
  });

  it.each([
    ["everything", { hosts: ["*"] }, "POLICY_INVALID"],
    ["a top-level domain", { hosts: ["*.com"] }, "POLICY_INVALID"],
    ["a public suffix", { hosts: ["*.github.io"] }, "POLICY_INVALID"],
    ["an address", { hosts: ["10.0.0.1"] }, "POLICY_INVALID"],
    ["loopback", { hosts: ["localhost"] }, "POLICY_INVALID"],
    ["metadata", { hosts: ["metadata.google.internal"] }, "POLICY_INVALID"],
    ["private ranges", { hosts: ["a.example.com"], allowedIps: ["10.0.0.0/8"] }, "POLICY_INVALID"],
    ["the metadata range", { hosts: [], allowedIps: ["169.254.169.254/32"] }, "POLICY_INVALID"],
    ["an expiry of its own", { hosts: ["a.example.com"], expireTime: { seconds: 9n } }, "POLICY_INVALID"],
    ["a deny rule", { hosts: ["a.example.com"], action: Action.DENY }, "POLICY_INVALID"],
    ["a host with a terminal sequence", { hosts: ["\u001b[2Ja.example.com"] }, "POLICY_INVALID"],
    ["101 hosts", { hosts: Array.from({ length: 101 }, (_, index) => `h${index}.example.com`) }, "REQUEST_INVALID"],
  ])("cannot propose %s", async (_what, rule, reason) => {
    const call = fixture.asSandbox(sandbox).submitPolicyAnalysis({
      sandbox,
      source: { case: "rules", value: { rules: [{ name: "r", action: Action.ALLOW, ...rule }] } },
    });
    expect(await reasonOf(call)).toBe(reason);
    expect((await fixture.policy.listPolicyProposals({ sandbox })).proposals).toEqual([]);
  });

  it.each([
    ["no rule", { source: { case: "rules" as const, value: {} } }],
    ["nothing at all", {}],
    ["all decisions on record", { source: { case: "decisions" as const, value: {} } }],
    ["something that is no decision id", { source: { case: "decisions" as const, value: { decisionIds: ["x"] } } }],
    ["a huge reason", { source: rules("a.example.com"), reason: "x".repeat(1001) }],
    ["a request id that is no UUID", { source: rules("a.example.com"), requestId: "again" }],
  ])("cannot propose %s", async (_what, request) => {
    expect(await reasonOf(fixture.asSandbox(sandbox).submitPolicyAnalysis({ sandbox, ...request }))).toBe(
      "REQUEST_INVALID",
    );
  });

  it("is stored with whatever it wrote as its reason, which NUL cannot break", async () => {
    const reason = "\u001b]0;owned\u0007\u202e\0'; drop table policy_proposals; --";
    const { proposals } = await fixture
      .asSandbox(sandbox)
      .submitPolicyAnalysis({ sandbox, reason, source: rules("a.example.com") });
    expect(proposals[0]?.reason).toBe(reason.replace("\0", "\uFFFD"));
  });

  it("fills no more than its own part, and no faster than 60 an hour", async () => {
    const own = fixture.asSandbox(sandbox);
    let number = 0;
    const propose = () => own.submitPolicyAnalysis({ sandbox, source: rules(`h${number++}.example.com`) });
    for (let made = 0; made < 60; made++) {
      const [proposal] = (await propose()).proposals;
      if (made % 20 !== 19) continue;
      expect(await reasonOf(propose())).toBe("LIMIT_REACHED");
      if (made === 59) break;
      const { proposals } = await fixture.policy.listPolicyProposals({ sandbox, states: [ProposalState.PENDING] });
      expect(proposals[0]?.proposalId).toBeDefined();
      expect(proposal?.state).toBe(ProposalState.PENDING);
      for (const { proposalId } of proposals)
        await fixture.policy.rejectPolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    }
    const { proposals } = await fixture.policy.listPolicyProposals({ sandbox, states: [ProposalState.PENDING] });
    for (const { proposalId } of proposals)
      await fixture.policy.rejectPolicyProposal({ sandbox, proposalId, expectedVersion: 1n });
    expect(await reasonOf(propose())).toBe("LIMIT_REACHED");
    // users can still
    expect(await reasonOf(fixture.policy.submitPolicyAnalysis({ sandbox, source: rules("user.example.com") }))).toBe(
      "OK",
    );
    nowMs += 60 * 60_000 + 1;
    expect(await reasonOf(propose())).toBe("OK");
  });

  it("gets what there is for what is pending or was rejected, also under another name", async () => {
    const own = fixture.asSandbox(sandbox);
    const first = await own.submitPolicyAnalysis({ sandbox, source: rules("again.example.com") });
    const again = await own.submitPolicyAnalysis({ sandbox, reason: "please", source: rules("again.example.com") });
    expect(again).toEqual(first);
    const proposalId = first.proposals[0]?.proposalId ?? "";
    await fixture.policy.rejectPolicyProposal({
      sandbox,
      proposalId,
      expectedVersion: 1n,
      reason: "no: internal note",
    });
    const after = await own.submitPolicyAnalysis({ sandbox, source: rules("again.example.com") });
    expect(after.proposals).toMatchObject([
      { proposalId, state: ProposalState.REJECTED, reviewer: "", reviewReason: "" },
    ]);
    const byUser = await fixture.policy.submitPolicyAnalysis({ sandbox, source: rules("again.example.com") });
    expect(byUser.proposals).toMatchObject([{ state: ProposalState.PENDING, source: ProposalSource.USER }]);
  });

  it("names decisions of its own; those of another sandbox are not found", async () => {
    const other = fixture.register();
    await fixture.policy.setPolicy({ sandbox: other, policy: {} });
    const foreign = await decide(other, "other.example.com");
    const own = fixture.asSandbox(sandbox);
    const byIds = (...decisionIds: string[]) =>
      own.submitPolicyAnalysis({ sandbox, source: { case: "decisions", value: { decisionIds } } });
    expect(await reasonOf(byIds(foreign))).toBe("NOTHING_TO_PROPOSE");
    const mine = await decide(sandbox, "mine.example.com");
    expect((await byIds(mine, foreign)).proposals).toMatchObject([
      {
        source: ProposalSource.SANDBOX,
        rules: [{ hosts: ["mine.example.com"], ports: [443] }],
        evidence: [{ host: "mine.example.com", port: 443, tunnel: true, count: 1n, decisionIds: [mine] }],
      },
    ]);
  });

  it("G-31 is in the audit log", async () => {
    const { proposals } = await fixture
      .asSandbox(sandbox)
      .submitPolicyAnalysis({ sandbox, source: rules("a.example.com") });
    const { events } = await fixture.policy.listAuditEvents({ sandboxId: sandbox, action: "policy.propose" });
    expect(events).toMatchObject([
      {
        principal: `spiffe://sandgate.local/sandbox/${sandbox}`,
        organizationId,
        details: { proposals: proposals[0]?.proposalId },
      },
    ]);
  });
});

describe("a user who proposes", () => {
  it("proposes what is on record and still lacks a rule, by host, port and protocol", async () => {
    await fixture.policy.setPolicy({
      sandbox,
      policy: {
        rules: [...policyOf("known.example.com").rules, { name: "no", action: Action.DENY, hosts: ["no.example.com"] }],
      },
    });
    await decide(sandbox, "seen.example.com", { verdict: Verdict.WOULD_DENY, address: "93.184.216.34" });
    await decide(sandbox, "seen.example.com", { verdict: Verdict.WOULD_DENY, address: "93.184.216.35" });
    await decide(sandbox, "seen.example.com", { method: "GET", port: 80 });
    await decide(sandbox, "known.example.com"); // allowed since
    await decide(sandbox, "no.example.com");
    await decide(sandbox, "10.0.0.1", { reason: "ip_not_allowed" });
    await decide(sandbox, "stolen.example.com", { reason: "token_invalid" });
    await decide(sandbox, "fine.example.com", { verdict: Verdict.ALLOWED, reason: "" });
    const { proposals } = await fixture.policy.submitPolicyAnalysis({
      sandbox,
      source: { case: "decisions", value: {} },
    });
    expect(proposals).toMatchObject([
      {
        source: ProposalSource.OBSERVATION,
        proposer: userSpiffeId,
        rules: [{ hosts: ["seen.example.com"], ports: [80, 443] }],
        evidence: [
          { port: 80, tunnel: false, count: 1n },
          { port: 443, tunnel: true, count: 2n },
        ],
      },
    ]);
  });

  it("generalizes only when asked", async () => {
    await decide(sandbox, "a.wide.example.com");
    await decide(sandbox, "b.wide.example.com");
    const propose = async (generalizeSubdomains: boolean) => {
      const source = { case: "decisions" as const, value: { generalizeSubdomains } };
      return (await fixture.policy.submitPolicyAnalysis({ sandbox, source })).proposals.map(
        (one) => one.rules[0]?.hosts,
      );
    };
    expect(await propose(false)).toEqual([["a.wide.example.com"], ["b.wide.example.com"]]);
    expect(await propose(true)).toEqual([["*.wide.example.com"]]);
  });

  it("is answered as the first time when a request is repeated", async () => {
    const request = { sandbox, source: rules("once.example.com"), requestId: crypto.randomUUID() };
    const [one, two] = await Promise.all([
      fixture.policy.submitPolicyAnalysis(request),
      fixture.policy.submitPolicyAnalysis(request),
    ]);
    expect(two).toEqual(one);
    expect(await reasonOf(fixture.policy.submitPolicyAnalysis({ ...request, reason: "other" }))).toBe(
      "REQUEST_ID_REUSED",
    );
  });

  it("is refused for a sandbox that has no policy, or is gone", async () => {
    const bare = fixture.register();
    expect(await reasonOf(fixture.policy.submitPolicyAnalysis({ sandbox: bare, source: rules("a.test") }))).toBe(
      "POLICY_NOT_FOUND",
    );
    fixture.retire(sandbox);
    const propose = () =>
      reasonOf(fixture.policy.submitPolicyAnalysis({ sandbox, source: rules(`${crypto.randomUUID()}.test`) }));
    await expect.poll(propose).toBe("SANDBOX_NOT_FOUND");
  });
});
