import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Verdict } from "@sandgate/api/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, readerOf, startPolicyFixture } from "../policy-module.fixture.ts";
import { newSandboxId } from "../store/policy-store.contract.ts";

const decidedAtMs = 1_700_000_000_000;

let fixture: PolicyFixture;
beforeAll(async () => {
  // the clock stands shortly after the decisions: by today's, the sweep that begins with the service would remove them
  fixture = await startPolicyFixture({ now: () => decidedAtMs + 60_000 });
});
afterAll(() => fixture.stop());

const start = async () => {
  const sandbox = fixture.register();
  await fixture.policy.setPolicy({ sandbox, policy: {} });
  let sequence = 1n;
  const proxyRunId = crypto.randomUUID();
  const report = async (...decisions: object[]) => {
    await fixture.policy.reportDecisions({
      proxyRunId,
      firstSequence: sequence,
      decisions: decisions.map((decision) => ({
        sandboxId: sandbox,
        time: timestampFromMs(decidedAtMs),
        verdict: Verdict.ALLOWED,
        decisionId: newSandboxId().replace("sbx", "dec"),
        ...decision,
      })),
    });
    sequence += BigInt(decisions.length);
  };
  return { sandbox, report };
};

describe("WatchDecisions", () => {
  it("says that it has begun, then tells what is stored from then on, and each end", async () => {
    const { sandbox, report } = await start();
    await report({ port: 1 });
    const reader = readerOf(fixture.policy.watchDecisions({ sandbox }));
    expect(await reader.next()).toMatchObject({ decisions: [] });
    const decisionId = newSandboxId().replace("sbx", "dec");
    await report({ decisionId, port: 2 });
    expect((await reader.next()).decisions).toMatchObject([{ decisionId, port: 2 }]);
    await report({ decisionId, port: 2, sentBytes: 9n, duration: { seconds: 1n, nanos: 500_000_000 } });
    expect((await reader.next()).decisions).toMatchObject([
      { decisionId, sentBytes: 9n, duration: { seconds: 1n, nanos: 500_000_000 } },
    ]);
    await reader.end();
  });

  it("lets a slow reader catch up without losing one", async () => {
    const { sandbox, report } = await start();
    const reader = readerOf(fixture.policy.watchDecisions({ sandbox }));
    await reader.next();
    for (let batch = 0; batch < 3; batch++)
      await report(...Array.from({ length: 400 }, (_, index) => ({ port: 1 + batch * 400 + index })));
    const ports: number[] = [];
    while (ports.length < 1200) ports.push(...(await reader.next()).decisions.map(({ port }) => port));
    expect(ports).toEqual(Array.from({ length: 1200 }, (_, index) => index + 1));
    await reader.end();
  });

  it("tells of no other sandbox's decisions", async () => {
    const [one, two] = [await start(), await start()];
    const reader = readerOf(fixture.policy.watchDecisions({ sandbox: one.sandbox }));
    await reader.next();
    await two.report({ port: 2 });
    await one.report({ port: 1 });
    expect((await reader.next()).decisions).toMatchObject([{ sandboxId: one.sandbox, port: 1 }]);
    await reader.end();
  });
});
