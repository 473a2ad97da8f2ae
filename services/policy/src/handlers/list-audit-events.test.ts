import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

describe("ListAuditEvents", () => {
  it("lists the caller's organization's events, newest first, page by page, by sandbox and action", async () => {
    const [sandbox, other] = [fixture.register(), fixture.register()];
    for (const id of [sandbox, other, sandbox]) await fixture.policy.setPolicy({ sandbox: id, policy: {} });
    const foreign = { action: "policy.set", principal: "p", peer: "none", organizationId: crypto.randomUUID() };
    await fixture.database.audit.record({ ...foreign, sandboxId: sandbox });
    const first = await fixture.policy.listAuditEvents({ sandboxId: sandbox, action: "policy.set", pageSize: 1 });
    const second = await fixture.policy.listAuditEvents({
      sandboxId: sandbox,
      action: "policy.set",
      pageSize: 1,
      pageToken: first.nextPageToken,
    });
    expect([...first.events, ...second.events].map(({ details }) => details["revision"])).toEqual(["2", "1"]);
    expect(second.nextPageToken).toBe("");
  });

  it("refuses a page token of another filter, and a negative page size", async () => {
    const sandbox = fixture.register();
    for (let count = 0; count < 2; count++) await fixture.policy.setPolicy({ sandbox, policy: {} });
    const { nextPageToken: pageToken } = await fixture.policy.listAuditEvents({ sandboxId: sandbox, pageSize: 1 });
    expect(await reasonOf(fixture.policy.listAuditEvents({ pageToken }))).toBe("PAGE_TOKEN_INVALID");
    expect(await reasonOf(fixture.policy.listAuditEvents({ pageSize: -1 }))).toBe("REQUEST_INVALID");
  });
});
