import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Verdict } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";
import { newSandboxId } from "../store/policy-store.contract.ts";

const decidedAtMs = 1_700_000_000_000;

let fixture: PolicyFixture;
let sandbox: string;
beforeAll(async () => {
  // the clock stands shortly after the decisions: by today's, the sweep that begins with the service would remove them
  fixture = await startPolicyFixture({ now: () => decidedAtMs + 60_000 });
  sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: {} });
  await fixture.policy.reportDecisions({
    proxyRunId: "run-1",
    firstSequence: 1n,
    decisions: Array.from({ length: 9 }, (_, index) => ({
      decisionId: newSandboxId().replace("sbx", "dec"),
      sandboxId: sandbox,
      time: timestampFromMs(decidedAtMs + index),
      verdict: index % 3 === 0 ? Verdict.DENIED : Verdict.ALLOWED,
      port: index,
    })),
  });
});
afterAll(() => fixture.stop());

const readAll = async (verdicts: Verdict[], pageSize: number): Promise<number[]> => {
  const ports: number[] = [];
  let pageToken = "";
  do {
    const page = await fixture.policy.listDecisions({ sandbox, verdicts, pageSize, pageToken });
    ports.push(...page.decisions.map(({ port }) => port));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return ports;
};

describe("ListDecisions", () => {
  it.each([1, 2, 3, 9, 10])("lists all, newest first, in pages of %d", async (pageSize) => {
    expect(await readAll([], pageSize)).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0]);
  });

  it("lists only the verdicts asked for", async () => {
    expect(await readAll([Verdict.DENIED], 2)).toEqual([6, 3, 0]);
    expect(await readAll([Verdict.FAILED], 2)).toEqual([]);
  });

  it("refuses a page token with another filter, and an unknown verdict", async () => {
    const { nextPageToken: pageToken } = await fixture.policy.listDecisions({ sandbox, pageSize: 1 });
    const list = (request: object) => reasonOf(fixture.policy.listDecisions({ sandbox, ...request }));
    expect(await list({ pageToken, verdicts: [Verdict.DENIED] })).toBe("PAGE_TOKEN_INVALID");
    expect(await list({ pageToken: "AAAA" })).toBe("PAGE_TOKEN_INVALID");
    expect(await list({ verdicts: [Verdict.UNSPECIFIED] })).toBe("REQUEST_INVALID");
    expect(await list({ verdicts: [7] })).toBe("REQUEST_INVALID");
  });
});
