import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type DecisionSchema, Verdict } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";
import { newSandboxId } from "../store/policy-store.contract.ts";

const now = 1_800_000_000_000;
let fixture: PolicyFixture;
let sandbox: string;
beforeAll(async () => {
  fixture = await startPolicyFixture({ now: () => now });
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: {} });
});
afterAll(() => fixture.stop());

const newDecisionId = () => newSandboxId().replace("sbx", "dec");
const denied = (more: MessageInitShape<typeof DecisionSchema> = {}) => ({
  decisionId: newDecisionId(),
  sandboxId: sandbox,
  time: timestampFromMs(now - 1000),
  verdict: Verdict.DENIED,
  reason: "host_not_allowed",
  ...more,
});
const report = (decisions: object[], more: object = {}) =>
  fixture.policy.reportDecisions({ proxyRunId: crypto.randomUUID(), firstSequence: 1n, decisions, ...more });
const find = async (decisionId: string) =>
  (await fixture.policy.listDecisions({ sandbox })).decisions.find((decision) => decision.decisionId === decisionId);

describe("ReportDecisions", () => {
  it("answers how far the run is stored, and the same when it is repeated", async () => {
    const proxyRunId = crypto.randomUUID();
    const decisions = [denied(), denied()];
    for (let count = 0; count < 2; count++)
      expect(await report(decisions, { proxyRunId })).toMatchObject({ storedSequence: 2n });
    expect(await report([], { proxyRunId, firstSequence: 3n })).toMatchObject({ storedSequence: 2n });
  });

  it.each([
    { fault: "a run without a name", request: { proxyRunId: "" }, reason: "REQUEST_INVALID" },
    { fault: "a sequence below one", request: { firstSequence: 0n }, reason: "REQUEST_INVALID" },
    {
      fault: "a sequence beyond all bounds",
      request: { firstSequence: 2n ** 63n - 1n },
      reason: "REQUEST_INVALID",
    },
    { fault: "a negative count", request: { dropped: -1n }, reason: "REQUEST_INVALID" },
    { fault: "a decision without an id", request: { decisions: [{ verdict: 1 }] }, reason: "REQUEST_INVALID" },
    { fault: "more than 1000 decisions", request: { decisions: Array(1001).fill({}) }, reason: "REQUEST_INVALID" },
  ])("refuses $fault with $reason", async ({ request, reason }) => {
    expect(await reasonOf(report([denied()], request))).toBe(reason);
  });

  it.each([
    { field: "verdict", more: { verdict: Verdict.UNSPECIFIED } },
    { field: "verdict", more: { verdict: 9 as Verdict } },
    { field: "sandbox_id", more: { sandboxId: "sbx-1" } },
    { field: "decision_id", more: { decisionId: "dec-'; drop" } },
  ])("names the field of a decision that is not well formed: $field", async ({ field, more }) => {
    const error: unknown = await report([denied(), denied(more)]).catch((e) => e);
    expect(error).toMatchObject({ reason: "REQUEST_INVALID", metadata: { field: `decisions[1].${field}` } });
  });

  it("R13 stores whatever a sandbox managed to get into a decision, cut to size", async () => {
    const hostile = denied({
      host: `a\0b\n"\u001b[31m${"x".repeat(65_536)}`,
      method: "GET\u0000\ud800".toWellFormed(),
      port: 4_294_967_295,
      sentBytes: -1n,
      receivedBytes: 2n ** 63n - 1n,
      duration: { seconds: 2n ** 62n, nanos: 999_999_999 },
      time: { seconds: 2n ** 62n, nanos: 0 },
    });
    await report([hostile]);
    const stored = await find(hostile.decisionId);
    expect(stored?.host).toBe(`a\ufffdb\n"\u001b[31m${"x".repeat(245)}`);
    expect(stored).toMatchObject({ method: "GET\ufffd\ufffd", port: 0, sentBytes: 0n, receivedBytes: 2n ** 63n - 1n });
    expect(stored?.time).toEqual(timestampFromMs(now));
  });

  it("passes over a sandbox that has no policy", async () => {
    expect(await report([denied({ sandboxId: fixture.register() })])).toMatchObject({ storedSequence: 1n });
  });
});
