import { create } from "@bufbuild/protobuf";
import { Outlook, type Policy, PolicySchema, Verdict } from "@sandgate/api/policy";
import { parseAuthoredPolicy } from "@sandgate/policy";
import { describe, expect, it } from "vitest";
import type { DecisionRecord } from "../domain/decision-record.ts";
import { explainDecision } from "./explain-decision.ts";

function policyOf(rules: readonly unknown[], mode = "enforce"): Policy {
  const check = parseAuthoredPolicy({ rules, mode });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return create(PolicySchema, check.policy);
}

const decision = (over: Partial<DecisionRecord>): DecisionRecord => ({
  decisionId: "dec-aaaaaaaaaaaaaaaaaaaa",
  sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
  timeUs: 0n,
  verdict: Verdict.DENIED,
  reason: "host_not_allowed",
  method: "GET",
  host: "web.test",
  port: 80,
  rule: "",
  policyRevision: 1n,
  address: "",
  sentBytes: 0n,
  receivedBytes: 0n,
  durationUs: undefined,
  ...over,
});

function explain(over: Partial<DecisionRecord>, now: Policy, options: { gone?: boolean; then?: Policy } = {}) {
  const { gone = false, then = policyOf([]) } = options;
  return explainDecision(
    { decision: decision(over), decidedBy: then, current: { revision: 2n, policy: now }, gone },
    0,
  );
}

describe("the explanation of a decision", () => {
  it("says that another policy may allow what no rule allows, and how to propose it", () => {
    const { outlook, sentences, nextCommand } = explain({}, policyOf([]));
    expect(outlook).toBe(Outlook.REQUESTABLE);
    expect(sentences).toEqual([
      "web.test:80 was denied by revision 1: no rule allows the host, or one forbids it",
      "revision 2, which is in force now, does not allow it",
    ]);
    expect(nextCommand).toBe("sandgate policy propose sbx-aaaaaaaaaaaaaaaaaaaa --decision dec-aaaaaaaaaaaaaaaaaaaa");
  });

  it("says that a policy that came later allows it", () => {
    const { outlook, sentences, nextCommand, now } = explain({}, policyOf(["web.test"]));
    expect({ outlook, nextCommand, now }).toMatchObject({
      outlook: Outlook.ALLOWED,
      nextCommand: "",
      now: { verdict: "allow" },
    });
    expect(sentences[1]).toBe("revision 2, which is in force now, allows it (rule web-test)");
  });

  it.each([
    ["a deny rule", "web.test", policyOf([{ name: "no", action: "deny", hosts: ["web.test"] }])],
    ["an address that no policy opens", "169.254.169.254", policyOf([])],
    ["a name that no policy opens", "localhost", policyOf([])],
  ])("says that no approval opens it: %s", (_what, host, now) => {
    expect(explain({ host }, now).outlook).toBe(Outlook.FINAL);
  });

  it("shows the rule as it was then", () => {
    const then = policyOf([{ name: "rest", hosts: ["web.test"], methods: ["GET"] }]);
    const post = { reason: "method_not_allowed", method: "POST", rule: "rest" };
    const { rule, sentences, outlook, nextCommand } = explain(post, then, { then });
    expect(rule).toMatchObject({ name: "rest", methods: ["GET"] });
    expect(sentences[0]).toBe(
      "web.test:80 was denied by rule rest of revision 1: a rule allows the host, and not this method",
    );
    expect({ outlook, nextCommand }).toEqual({
      outlook: Outlook.REQUESTABLE,
      nextCommand: "sandgate policy get sbx-aaaaaaaaaaaaaaaaaaaa",
    });
  });

  it("judges a tunnel to 443 as TLS", () => {
    const now = policyOf([{ name: "rest", hosts: ["web.test"], methods: ["GET"] }]);
    expect(explain({ method: "CONNECT", port: 443 }, now).now).toMatchObject({ reason: "protocol_not_allowed" });
  });

  it.each<[Partial<DecisionRecord>, Outlook, string]>([
    [{ reason: "token_expired", policyRevision: 0n }, Outlook.PASSING, "web.test:80 was denied: its token had expired"],
    [
      { reason: "sni_mismatch" },
      Outlook.FINAL,
      "web.test:80 was denied by revision 1: the name in the TLS handshake is another than the tunnel's",
    ],
    [
      { verdict: Verdict.FAILED, reason: "dns_failed" },
      Outlook.PASSING,
      "web.test:80 was allowed, and could not be served: the name could not be resolved",
    ],
    [
      { host: "", port: 0, reason: "request_malformed", policyRevision: 0n },
      Outlook.FINAL,
      "a request that could not be understood was denied: it was no request that has one meaning",
    ],
  ])("tells what was no matter of policy (%#)", (over, outlook, sentence) => {
    expect(explain(over, policyOf([]))).toMatchObject({ outlook, sentences: [sentence] });
  });

  it("proposes nothing for a sandbox that is gone", () => {
    const { nextCommand, sentences } = explain({}, policyOf([]), { gone: true });
    expect(nextCommand).toBe("");
    expect(sentences[1]).toMatch(/^revision 2, the last one, does not allow it/);
  });
});
