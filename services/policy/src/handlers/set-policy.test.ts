import { Action } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  organizationId,
  type PolicyFixture,
  reasonOf,
  startPolicyFixture,
  userSpiffeId,
} from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

const allow = (...hosts: string[]) => ({ rules: [{ name: "one", action: Action.ALLOW, hosts }] });

describe("SetPolicy", () => {
  it("A43 stores the canonical form of what was written", async () => {
    const sandbox = fixture.register();
    const { revision } = await fixture.policy.setPolicy({
      sandbox,
      policy: allow("Bücher.Example.TEST.", "API.example.test"),
    });
    expect(revision?.policy?.rules[0]?.hosts).toEqual(["xn--bcher-kva.example.test", "api.example.test"]);
    expect(revision).toMatchObject({ sandboxId: sandbox, revision: 1n, author: userSpiffeId });
  });

  it.each(["*.co.uk", "*", "*.", "a.*.b", "*b.test", "http://x", "x:99999", "x/y", "x y", "x\n", ".x", "x..y"])(
    "A44 refuses the host %j and names rule and field",
    async (host) => {
      const sandbox = fixture.register();
      const error: unknown = await fixture.policy.setPolicy({ sandbox, policy: allow("a.test", host) }).catch((e) => e);
      expect(error).toBeInstanceOf(ServiceError);
      expect(error).toMatchObject({ reason: "POLICY_INVALID", metadata: { rule: "one", field: "hosts[1]" } });
    },
  );

  it("R10 keeps the last policy when a new one is refused", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: allow("a.example.test") });
    await reasonOf(fixture.policy.setPolicy({ sandbox, policy: allow("*") }));
    const { revision } = await fixture.policy.getPolicy({ sandbox });
    expect(revision).toMatchObject({ revision: 1n, policy: { rules: [{ hosts: ["a.example.test"] }] } });
  });

  it.each([
    { fault: "no policy", request: { policy: undefined }, reason: "REQUEST_INVALID" },
    { fault: "a negative revision", request: { expectedRevision: -1n }, reason: "REQUEST_INVALID" },
    { fault: "a request id that is no UUID", request: { requestId: "again" }, reason: "REQUEST_INVALID" },
    {
      fault: "a policy larger than 1 MiB",
      request: {
        policy: {
          rules: Array.from({ length: 6 }, (_, rule) => ({
            name: `r${rule}`,
            action: Action.ALLOW,
            hosts: Array.from({ length: 1000 }, (_, host) => `h${host}.${`${"a".repeat(60)}.`.repeat(3)}test`),
          })),
        },
      },
      reason: "POLICY_INVALID",
    },
  ])("refuses $fault with $reason", async ({ request, reason }) => {
    const sandbox = fixture.register();
    const set = fixture.policy.setPolicy({ sandbox, policy: allow("a.example.test"), ...request } as never);
    expect(await reasonOf(set)).toBe(reason);
  });

  it("opens the sandbox's socket, and closes it when the sandbox is retired", async () => {
    const own = await startPolicyFixture();
    const sandbox = own.register();
    await own.policy.setPolicy({ sandbox, policy: allow("a.example.test") });
    expect([...own.sockets]).toEqual([sandbox]);
    own.retire(sandbox);
    await own.module.stop(); // waits for what the retirement does
    expect([...own.sockets]).toEqual([]);
    await own.stop();
  });

  it("takes an empty policy, which denies everything", async () => {
    const sandbox = fixture.register();
    const { revision } = await fixture.policy.setPolicy({ sandbox, policy: {} });
    expect(revision?.policy?.rules).toEqual([]);
  });

  it("refuses a sandbox that was retired, with or without a policy", async () => {
    const [known, unknown] = [fixture.register(), fixture.register()];
    await fixture.policy.setPolicy({ sandbox: known, policy: allow("a.example.test") });
    fixture.retire(known);
    fixture.retire(unknown);
    for (const sandbox of [known, unknown])
      expect(await reasonOf(fixture.policy.setPolicy({ sandbox, policy: allow("b.example.test") }))).toBe(
        "SANDBOX_NOT_FOUND",
      );
  });

  it("G-31 is in the audit log with who set it and through whom", async () => {
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: allow("a.example.test") });
    const { events } = await fixture.policy.listAuditEvents({ sandboxId: sandbox });
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      action: "policy.set",
      principal: userSpiffeId,
      peer: "spiffe://sandgate.local/service/sandbox",
      organizationId,
      details: { revision: "1" },
    });
  });
});
