import { create } from "@bufbuild/protobuf";
import { TrustSnapshotSchema } from "@sandgate/api/auth";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type PolicyFixture, readerOf, reasonOf, startPolicyFixture } from "../policy-module.fixture.ts";

type Response = ReturnType<PolicyFixture["policy"]["watchPolicies"]> extends AsyncIterable<infer R> ? R : never;

let fixture: PolicyFixture;
beforeEach(async () => {
  fixture = await startPolicyFixture();
  await waitUntilReconciled(fixture);
});
afterEach(() => fixture.stop());

/** Waits, as a proxy does, until policies are pushed. */
async function waitUntilReconciled({ policy, database }: Pick<PolicyFixture, "policy" | "database">): Promise<void> {
  for (;;) {
    await database.pool.check(); // going through the register needs the database too: this lets it
    const reader = readerOf(policy.watchPolicies({}));
    const reason = await reasonOf(reader.next());
    await reader.end();
    if (reason === "OK") return;
    expect(reason).toBe("UNAVAILABLE");
  }
}

/** Reads a stream, and passes over its heartbeats. */
function changesOf(stream: AsyncIterable<Response>): ReturnType<typeof readerOf<Response>> {
  const reader = readerOf(stream);
  let first = true;
  return {
    end: () => reader.end(),
    async next() {
      for (;;) {
        const message = await reader.next();
        const isHeartbeat = message.upserted.length === 0 && message.removedSandboxIds.length === 0;
        if (isHeartbeat && !first) continue;
        first = false;
        return message;
      }
    },
  };
}

const set = async (sandbox: string) => (await fixture.policy.setPolicy({ sandbox, policy: {} })).revision?.revision;

describe("WatchPolicies", () => {
  it("begins with a snapshot, empty or not, and goes on with each change", async () => {
    const reader = changesOf(fixture.policy.watchPolicies({}));
    expect(await reader.next()).toMatchObject({ snapshot: true, upserted: [], version: 0n });
    const sandbox = fixture.register();
    await set(sandbox);
    expect(await reader.next()).toMatchObject({
      snapshot: false,
      version: 1n,
      upserted: [{ sandboxId: sandbox, revision: 1n }],
    });
    await reader.end();
    const again = changesOf(fixture.policy.watchPolicies({}));
    expect(await again.next()).toMatchObject({ snapshot: true, upserted: [{ sandboxId: sandbox, revision: 1n }] });
    await again.end();
  });

  it("goes on after a version with what changed since, removals too", async () => {
    const [kept, removed, untouched] = [fixture.register(), fixture.register(), fixture.register()];
    for (const sandbox of [kept, removed, untouched]) await set(sandbox);
    const first = changesOf(fixture.policy.watchPolicies({}));
    const { version } = await first.next();
    await first.end();
    await set(kept);
    fixture.retire(removed);
    const resumed = changesOf(fixture.policy.watchPolicies({ afterVersion: version }));
    const upserted: string[] = [];
    const gone: string[] = [];
    while (upserted.length + gone.length < 2) {
      const message = await resumed.next();
      expect(message.snapshot).toBe(false);
      upserted.push(...message.upserted.map(({ sandboxId }) => sandboxId));
      gone.push(...message.removedSandboxIds);
    }
    expect([upserted, gone]).toEqual([[kept], [removed]]);
    await resumed.end();
  });

  it("answers a proxy at once that has missed nothing, so that it knows that it is heard", async () => {
    await set(fixture.register());
    const first = changesOf(fixture.policy.watchPolicies({}));
    const { version } = await first.next();
    await first.end();
    const resumed = changesOf(fixture.policy.watchPolicies({ afterVersion: version }));
    expect(await resumed.next()).toMatchObject({ version, snapshot: false, upserted: [], removedSandboxIds: [] });
    await resumed.end();
  });

  it("sends a heartbeat within two seconds where nothing changes, with the version to resume after", async () => {
    await set(fixture.register());
    const reader = readerOf(fixture.policy.watchPolicies({}));
    const { version } = await reader.next();
    const askedAt = performance.now();
    expect(await reader.next()).toMatchObject({ version, snapshot: false, upserted: [], removedSandboxIds: [] });
    expect(performance.now() - askedAt).toBeLessThan(2_000);
    await reader.end();
  });

  it("sends a snapshot to a proxy that comes with a version of another database", async () => {
    const sandbox = fixture.register();
    await set(sandbox);
    const reader = changesOf(fixture.policy.watchPolicies({ afterVersion: 999n }));
    expect(await reader.next()).toMatchObject({ snapshot: true, upserted: [{ sandboxId: sandbox }] });
    await reader.end();
  });

  it("refuses a negative version", async () => {
    expect(await reasonOf(changesOf(fixture.policy.watchPolicies({ afterVersion: -1n })).next())).toBe(
      "REQUEST_INVALID",
    );
  });

  it("shows a slow proxy the newest state of each sandbox once", async () => {
    const reader = changesOf(fixture.policy.watchPolicies({}));
    await reader.next();
    const sandbox = fixture.register();
    for (let count = 0; count < 20; count++) await set(sandbox);
    const revisions: bigint[] = [];
    while (revisions.at(-1) !== 20n) revisions.push(...(await reader.next()).upserted.map(({ revision }) => revision));
    expect(revisions.length).toBeLessThanOrEqual(3);
    await reader.end();
  });

  it("tells of a change that another replica made", async () => {
    const replica = fixture.createReplica();
    await replica.module.start();
    await waitUntilReconciled(replica);
    const reader = changesOf(replica.policy.watchPolicies({}));
    await reader.next();
    const sandbox = fixture.register();
    await set(sandbox);
    expect(await reader.next()).toMatchObject({ upserted: [{ sandboxId: sandbox }] });
    await reader.end();
    await replica.module.stop();
  });

  it("I17 removes a sandbox that the trust stream calls retired", async () => {
    const sandbox = fixture.register();
    await set(sandbox);
    const reader = changesOf(fixture.policy.watchPolicies({}));
    await reader.next();
    fixture.retire(sandbox);
    expect(await reader.next()).toMatchObject({ upserted: [], removedSandboxIds: [sandbox] });
    await reader.end();
  });

  it("never pushes a sandbox that died, or was never heard of, while the service was down", async () => {
    const [alive, dead, unheard] = [fixture.register(), fixture.register(), fixture.register()];
    for (const sandbox of [alive, dead, unheard]) await set(sandbox);
    await fixture.module.stop();
    const subject = fixture.subjects.get(dead);
    if (subject !== undefined) subject.alive = false;
    fixture.subjects.delete(unheard);
    const restarted = fixture.createReplica();
    expect(await reasonOf(changesOf(restarted.policy.watchPolicies({})).next())).toBe("UNAVAILABLE");
    expect(() => restarted.module.checks["sandboxes_reconciled"]?.()).toThrow();
    await restarted.module.start();
    await waitUntilReconciled(restarted);
    const reader = changesOf(restarted.policy.watchPolicies({}));
    expect((await reader.next()).upserted.map(({ sandboxId }) => sandboxId)).toEqual([alive]);
    await reader.end();
    await restarted.module.stop();
  });

  it("goes through the register again when the trust stream begins anew", async () => {
    const sandbox = fixture.register();
    await set(sandbox);
    const reader = changesOf(fixture.policy.watchPolicies({}));
    await reader.next();
    fixture.subjects.delete(sandbox);
    fixture.tellTrust({ case: "snapshot", value: create(TrustSnapshotSchema) });
    expect(await reader.next()).toMatchObject({ removedSandboxIds: [sandbox] });
    await reader.end();
  });

  it("ends with UNAVAILABLE when the service stops", async () => {
    const reader = changesOf(fixture.policy.watchPolicies({}));
    await reader.next();
    const ended = reasonOf(reader.next());
    await fixture.module.stop();
    expect(await ended).toBe("UNAVAILABLE");
    expect(
      await reasonOf(
        readerOf(fixture.policy.watchEnforcement({}))
          .next()
          .then(() => "first"),
      ),
    ).toBe("OK");
  });
});
