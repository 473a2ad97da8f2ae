import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

const audience = "sts.example.com";
const grant = (sandbox: string, ...audiences: string[]) =>
  fixture.policy.setPolicy({ sandbox, policy: { identity: { audiences } } });

describe("PermitTokenExchange", () => {
  it("has Auth permit what the newest policy grants, by that revision", async () => {
    const sandboxId = fixture.register();
    await grant(sandboxId);
    await grant(sandboxId, "other.example.com", audience);
    const { permit } = await fixture.asSandbox(sandboxId).permitTokenExchange({ sandboxId, audience });
    expect(permit).toBe("permit");
    expect(fixture.permits.at(-1)).toEqual({ sandboxId, audience, policyRevision: 2n });
  });

  it("refuses from the moment at which a policy without the audience is stored", async () => {
    const sandboxId = fixture.register();
    await grant(sandboxId, audience);
    const own = fixture.asSandbox(sandboxId);
    expect(await reasonOf(own.permitTokenExchange({ sandboxId, audience }))).toBe("OK");
    await grant(sandboxId);
    expect(await reasonOf(own.permitTokenExchange({ sandboxId, audience }))).toBe("AUDIENCE_NOT_GRANTED");
  });

  it.each(["", "STS.example.com", "sts.example.com ", "sts.example", "sandgate", "egress-proxy"])(
    "refuses %j, which is not exactly what is granted, asks Auth for nothing and writes it down",
    async (other) => {
      const sandboxId = fixture.register();
      await grant(sandboxId, audience);
      const asked = fixture.permits.length;
      const call = fixture.asSandbox(sandboxId).permitTokenExchange({ sandboxId, audience: other });
      expect(await reasonOf(call)).toBe("AUDIENCE_NOT_GRANTED");
      expect(fixture.permits).toHaveLength(asked);
      const { events } = await fixture.policy.listAuditEvents({ sandboxId, pageSize: 1 });
      expect(events[0]).toMatchObject({
        action: "call.denied",
        principal: `spiffe://sandgate.local/sandbox/${sandboxId}`,
        details: { reason: "AUDIENCE_NOT_GRANTED", method: "PermitTokenExchange" },
      });
    },
  );

  it("refuses a sandbox without a policy, and is not for users", async () => {
    const sandboxId = fixture.register();
    const own = fixture.asSandbox(sandboxId);
    expect(await reasonOf(own.permitTokenExchange({ sandboxId, audience }))).toBe("AUDIENCE_NOT_GRANTED");
  });
});
