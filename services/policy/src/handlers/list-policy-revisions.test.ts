import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

describe("ListPolicyRevisions", () => {
  it("lists every revision once, newest first, and ends", async () => {
    const sandbox = fixture.register();
    for (let count = 0; count < 5; count++) await fixture.policy.setPolicy({ sandbox, policy: {} });
    const seen: bigint[] = [];
    let pageToken = "";
    do {
      const page = await fixture.policy.listPolicyRevisions({ sandbox, pageSize: 2, pageToken });
      seen.push(...page.revisions.map(({ revision }) => revision));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([5n, 4n, 3n, 2n, 1n]);
  });

  it("refuses another sandbox's page token, a made-up one and a negative page size", async () => {
    const [sandbox, other] = [fixture.register(), fixture.register()];
    for (let count = 0; count < 2; count++) await fixture.policy.setPolicy({ sandbox, policy: {} });
    const { nextPageToken } = await fixture.policy.listPolicyRevisions({ sandbox, pageSize: 1 });
    const list = (request: object) => reasonOf(fixture.policy.listPolicyRevisions({ sandbox: other, ...request }));
    expect(await list({ pageToken: nextPageToken })).toBe("PAGE_TOKEN_INVALID");
    expect(await list({ pageToken: "e30" })).toBe("PAGE_TOKEN_INVALID");
    expect(await list({ pageSize: -1 })).toBe("REQUEST_INVALID");
  });
});
