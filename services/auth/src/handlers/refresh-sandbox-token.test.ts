import { createKeyPair } from "@sandgate/pki";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type AuthBench,
  type BenchSandbox,
  claimsOf,
  describeSandbox,
  enrol,
  reasonOf,
  registerSandbox,
  start,
  startAuthBench,
} from "../auth-bench.contract.ts";

let bench: AuthBench;
let replica: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
  replica = await bench.startReplica();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const refresh = async (sandbox: BenchSandbox, tokenId: string) => {
  const { credentials } = await sandbox.session(tokenId).refreshSandboxToken({ sandboxId: sandbox.sandboxId });
  if (credentials === undefined) throw new Error("no credentials");
  return credentials;
};

describe("RefreshSandboxToken", () => {
  it("G-13 gives a successor for the same key and supersedes the token", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId, credentials } = await enrol(bench, sandbox);
    bench.clock.now += 60_000;
    const renewed = await refresh(sandbox, tokenId);
    expect(claimsOf(renewed.token)).toMatchObject({ cnf: claimsOf(credentials.token).cnf, iat: start / 1000 + 60 });
    expect(bench.module.trust.isTokenSuperseded(tokenId)).toBe(true);
    expect(bench.module.trust.isTokenSuperseded(String(claimsOf(renewed.token).jti))).toBe(false);
  });

  it("G-13 answers the same refresh within 30 seconds with the same successor, at every replica", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const first = await refresh(sandbox, tokenId);
    bench.clock.now += 29_999;
    const elsewhere = describeSandbox(replica, sandbox.sandboxId, 1n, sandbox.keys);
    expect(await refresh(sandbox, tokenId)).toEqual(first);
    expect(await refresh(elsewhere, tokenId)).toEqual(first);
  });

  it("G-13 gives refreshes at the same moment one successor", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const elsewhere = describeSandbox(replica, sandbox.sandboxId, 1n, sandbox.keys);
    const tokens = await Promise.all(
      [sandbox, elsewhere, sandbox, elsewhere].map(async (from) => (await refresh(from, tokenId)).token),
    );
    expect(new Set(tokens).size).toBe(1);
  });

  it("G-16 a clock that is put back by hours opens no window in which the token is taken again", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    bench.clock.now += 4 * 3_600_000;
    await refresh(sandbox, tokenId);
    bench.clock.now -= 2 * 3_600_000;
    expect(await reasonOf(refresh(sandbox, tokenId))).toBe("CREDENTIAL_REVOKED");
  });

  it("G-16 refuses a token that was refreshed more than 30 seconds ago", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    await refresh(sandbox, tokenId);
    bench.clock.now += 30_000;
    expect(await reasonOf(refresh(sandbox, tokenId))).toBe("CREDENTIAL_REVOKED");
  });

  it("G-16 refuses a key that is not the registered one", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const thief = describeSandbox(bench, sandbox.sandboxId, 1n, createKeyPair());
    expect(await reasonOf(refresh(thief, tokenId))).toBe("CREDENTIAL_REVOKED");
    expect(await reasonOf(refresh(sandbox, tokenId))).toBe("OK");
  });

  it("refuses a token that was never issued", async () => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    expect(await reasonOf(refresh(sandbox, "t".repeat(43)))).toBe("CREDENTIAL_REVOKED");
  });

  it("G-15, G-16 refuses what was revoked and what was retired", async () => {
    for (const end of ["revoke", "retire"] as const) {
      const sandbox = await registerSandbox(bench);
      const { tokenId } = await enrol(bench, sandbox);
      if (end === "retire") await bench.sandboxService.retireSandbox({ sandboxId: sandbox.sandboxId });
      else await bench.as({}).revokeSandbox({ sandbox: sandbox.sandboxId });
      expect(await reasonOf(refresh(sandbox, tokenId))).toBe("CREDENTIAL_REVOKED");
    }
  });

  it("G-13 refuses a bootstrap principal and a user", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const { sandboxId } = sandbox;
    expect(await reasonOf(sandbox.bootstrap(tokenId).refreshSandboxToken({ sandboxId }))).toBe("PRINCIPAL_NOT_ALLOWED");
  });
});
