import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyFixture, readerOf, startPolicyFixture } from "../policy-module.fixture.ts";

let fixture: PolicyFixture;
beforeAll(async () => {
  fixture = await startPolicyFixture();
});
afterAll(() => fixture.stop());

describe("WatchEnforcement", () => {
  it("tells at once what is known, even nothing, then every change", async () => {
    const reader = readerOf(fixture.policy.watchEnforcement({}));
    expect(await reader.next()).toMatchObject({ enforcements: [] });
    const sandbox = fixture.register();
    await fixture.policy.setPolicy({ sandbox, policy: {} });
    await fixture.policy.reportPolicyStatus({ enforcements: [{ sandboxId: sandbox, revision: 1n }] });
    let told = await reader.next();
    while (told?.enforcements.length === 0) told = await reader.next(); // heartbeats
    expect(told).toMatchObject({ enforcements: [{ sandboxId: sandbox, revision: 1n }] });
    await reader.end();
    const again = readerOf(fixture.policy.watchEnforcement({}));
    expect(await again.next()).toMatchObject({ enforcements: [{ sandboxId: sandbox, revision: 1n }] });
    expect(await again.next()).toMatchObject({ enforcements: [] });
    await again.end();
  });
});
