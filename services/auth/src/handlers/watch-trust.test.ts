import { RevocationKind, type WatchTrustResponse } from "@sandgate/api/auth";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, enrol, reasonOf, registerSandbox, startAuthBench } from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

/** Reads a stream of trust until `isLast`; answers all that was told. */
async function watchUntil(
  options: { readonly at?: AuthBench; readonly afterSequence?: bigint; readonly onFirst?: () => Promise<unknown> },
  isLast: (response: WatchTrustResponse) => boolean,
): Promise<WatchTrustResponse[]> {
  const stop = new AbortController();
  const told: WatchTrustResponse[] = [];
  const { afterSequence = 0n, onFirst } = options;
  let acted: Promise<unknown> | undefined;
  const stream = (options.at ?? bench).as({}).watchTrust({ afterSequence }, { signal: stop.signal });
  for await (const response of stream) {
    told.push(response);
    acted ??= onFirst?.();
    if (isLast(response)) break;
  }
  stop.abort();
  await acted;
  return told;
}

const isRevocation = (kind: RevocationKind, subject: string) => (response: WatchTrustResponse) =>
  response.change.case === "revocation" &&
  response.change.value.kind === kind &&
  response.change.value.subject === subject;

const isHeartbeat = (response: WatchTrustResponse) => response.change.case === "heartbeat";

describe("WatchTrust", () => {
  it("begins with the keys and every live revocation", async () => {
    const { sandboxId } = await registerSandbox(bench);
    await bench.as({}).revokeSandbox({ sandbox: sandboxId });
    const [first] = await watchUntil({}, () => true);
    if (first?.change.case !== "snapshot") throw new Error("no snapshot");
    const { revocations, signingKeys } = first.change.value;
    expect(signingKeys?.jwksJson).toBe(bench.keys.jwksJson);
    expect(revocations.map(({ subject }) => subject)).toContain(`${sandboxId}/1`);
  });

  it("beats once a second when nothing changes", async () => {
    const told = await watchUntil({}, (response) => isHeartbeat(response) && response.sequence > 0n);
    expect(told.at(-1)?.sequence).toBe(told[0]?.sequence);
  });

  it("G-15 tells another replica within a second", async () => {
    const replica = await bench.startReplica();
    const sandbox = await registerSandbox(bench);
    const { sandboxId } = sandbox;
    let revokedAt = 0;
    const told = await watchUntil(
      {
        at: replica,
        onFirst: async () => {
          await bench.as({}).revokeSandbox({ sandbox: sandboxId });
          revokedAt = performance.now();
        },
      },
      (response) => response.change.case === "sandbox" && response.change.value.sandboxId === sandboxId,
    );
    expect(performance.now() - revokedAt).toBeLessThan(1_000);
    expect(told.some(isRevocation(RevocationKind.INCARNATION, `${sandboxId}/1`))).toBe(true);
  });

  it("goes on after a sequence, with every change in its order", async () => {
    const [first] = await watchUntil({}, () => true);
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    await sandbox.session(tokenId).refreshSandboxToken({ sandboxId: sandbox.sandboxId });
    const told = await watchUntil({ afterSequence: first?.sequence ?? 0n }, isHeartbeat);
    const changes = told.filter(({ change }) => change.case === "revocation" || change.case === "sandbox");
    expect(told.some(({ change }) => change.case === "snapshot")).toBe(false);
    expect(changes.map(({ change }) => change.case)).toEqual(["sandbox", "revocation"]);
    expect(isRevocation(RevocationKind.SUPERSEDED_TOKEN, tokenId)(changes[1] as WatchTrustResponse)).toBe(true);
    const sequences = changes.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => Number(a - b)));
  });

  it("begins anew for whoever knows more than there is", async () => {
    const [first] = await watchUntil({ afterSequence: 1_000_000n }, () => true);
    expect(first?.change.case).toBe("snapshot");
  });

  it("G-15 forgets what has expired, and begins anew for whoever missed it", async () => {
    const own = await startAuthBench();
    try {
      const sandbox = await registerSandbox(own);
      await enrol(own, sandbox);
      await own.as({}).revokeSandbox({ sandbox: sandbox.sandboxId });
      own.clock.now += 26 * 3_600_000;
      const { PostgresAuthStore } = await import("../store/postgres-auth-store.ts");
      const store = new PostgresAuthStore({ pool: own.database.createPool("auth"), audit: own.audit });
      await store.prune(own.clock.now);
      const [first] = await watchUntil({ at: own, afterSequence: 1n }, () => true);
      if (first?.change.case !== "snapshot") throw new Error("no snapshot");
      expect(first.change.value.revocations).toEqual([]);
    } finally {
      await own.stop();
    }
  });

  it("G-15 survives a restart", async () => {
    const { sandboxId } = await registerSandbox(bench);
    await bench.as({}).revokeSandbox({ sandbox: sandboxId });
    const restarted = await bench.startReplica();
    expect(restarted.module.trust.isIncarnationRevoked(sandboxId, 1n)).toBe(true);
    expect(restarted.sockets).toContain(sandboxId);
  });

  it("ends with UNAVAILABLE when the service stops", async () => {
    const own = await startAuthBench();
    const reading = watchUntil({ at: own }, () => false);
    const reason = reasonOf(reading);
    await own.stop();
    expect(await reason).toBe("UNAVAILABLE");
  });
});
