import { type TokenKind, tokenRules, verifyToken } from "@sandgate/identity";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AuthBench,
  type BenchSandbox,
  claimsOf,
  enrol,
  newSandboxId,
  operator,
  organizationId,
  reasonOf,
  registerSandbox,
  start,
  startAuthBench,
  trustDomain,
} from "../auth-bench.contract.ts";

const audience = "sts.example.com";
let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

async function enrolled() {
  const sandbox = await registerSandbox(bench);
  const { tokenId } = await enrol(bench, sandbox);
  return { sandbox, session: sandbox.session(tokenId) };
}

const permitFor = async ({ sandboxId }: BenchSandbox, what = audience) =>
  (await bench.policyService.createExchangePermit({ sandboxId, audience: what, policyRevision: 4n })).permit;

describe("ExchangeToken", () => {
  it("gives a workload a JWT-SVID of five minutes for the one audience, which the published keys verify", async () => {
    const { sandbox, session } = await enrolled();
    const permit = await permitFor(sandbox);
    const { token, expireTime } = await session.exchangeToken({ sandboxId: sandbox.sandboxId, audience, permit });
    const { payload, protectedHeader } = await jwtVerify(
      token,
      createLocalJWKSet(JSON.parse(bench.keys.publishedJwksJson)),
      { audience, issuer: `https://auth.${trustDomain}`, currentDate: new Date(start), typ: "JWT" },
    );
    expect(protectedHeader.alg).toBe("ES256");
    expect(payload).toMatchObject({
      sub: `spiffe://${trustDomain}/sandbox/${sandbox.sandboxId}`,
      aud: audience,
      exp: start / 1000 + 300,
    });
    expect(Number(expireTime?.seconds)).toBe(payload.exp);
  });

  it("G-31 writes down who got it, for whom, and by which policy revision", async () => {
    const { sandbox, session } = await enrolled();
    const permit = await permitFor(sandbox);
    const { token } = await session.exchangeToken({ sandboxId: sandbox.sandboxId, audience, permit });
    const { events } = await bench.audit.list({
      organizationId,
      sandboxId: sandbox.sandboxId,
      pageSize: 1,
      pageToken: "",
    });
    expect(events[0]).toMatchObject({
      action: "workload_token.issued",
      principal: `spiffe://${trustDomain}/sandbox/${sandbox.sandboxId}`,
      details: { audience, policy_revision: "4", token_id: claimsOf(token).jti },
    });
    expect(JSON.stringify(events, (_key, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      token,
    );
  });

  it("gives a token that no verifier of ours takes, nor knows the key of", async () => {
    const { sandbox, session } = await enrolled();
    const permit = await permitFor(sandbox);
    const { token } = await session.exchangeToken({ sandboxId: sandbox.sandboxId, audience, permit });
    const context = { keys: bench.module.trust, trustDomain, now: start, keyThumbprint: undefined };
    for (const kind of Object.keys(tokenRules) as TokenKind[])
      expect((await verifyToken(kind, token, context)).outcome).toBe("not_ours");
    expect(bench.module.trust.find(bench.keys.currentWorkload().kid)).toBeUndefined();
  });

  it.each<[string, (own: BenchSandbox, other: BenchSandbox) => Promise<string> | string]>([
    ["no permit", () => ""],
    ["a permit for another audience", (own) => permitFor(own, "other.example.com")],
    ["another sandbox's permit", (_own, other) => permitFor(other)],
    ["a permit with one character changed", async (own) => changed(await permitFor(own))],
    ["a token of another kind", async () => (await enrol(bench, await registerSandbox(bench))).credentials.token],
  ])("G-20 refuses %s, and writes that down", async (_name, permit) => {
    const { sandbox, session } = await enrolled();
    const other = await registerSandbox(bench);
    const request = { sandboxId: sandbox.sandboxId, audience, permit: await permit(sandbox, other) };
    expect(await reasonOf(session.exchangeToken(request))).toBe("EXCHANGE_PERMIT_REJECTED");
    const { events } = await bench.audit.list({
      organizationId,
      sandboxId: sandbox.sandboxId,
      pageSize: 1,
      pageToken: "",
    });
    expect(events[0]).toMatchObject({ action: "call.denied", details: { reason: "EXCHANGE_PERMIT_REJECTED" } });
  });

  it("refuses a permit whose seconds are over, and one of an earlier incarnation", async () => {
    const { sandbox, session } = await enrolled();
    const request = { sandboxId: sandbox.sandboxId, audience, permit: await permitFor(sandbox) };
    bench.clock.now += 10_000;
    expect(await reasonOf(session.exchangeToken(request))).toBe("EXCHANGE_PERMIT_REJECTED");
    bench.clock.now = start;
    expect(await reasonOf(session.exchangeToken(request))).toBe("OK");
    const stale = request.permit;
    await bench.sandboxService.registerSandbox({
      sandboxId: sandbox.sandboxId,
      name: sandbox.sandboxId,
      organizationId,
      ownerUserId: operator.kind === "user" ? operator.userId : "",
      incarnation: 2n,
    });
    const next = bench.as({
      peer: sandbox.peer,
      principal: {
        kind: "sandbox",
        sandboxId: sandbox.sandboxId,
        organizationId,
        incarnation: 2n,
        credential: "session",
        tokenId: "t".repeat(43),
        keyId: "",
        spiffeId: `spiffe://${trustDomain}/sandbox/${sandbox.sandboxId}`,
        authenticator: "sandbox-token",
      },
    });
    expect(await reasonOf(next.exchangeToken({ ...request, permit: stale }))).toBe("EXCHANGE_PERMIT_REJECTED");
  });

  it("is not for users", async () => {
    const { sandbox } = await enrolled();
    const call = bench
      .as({ principal: operator })
      .exchangeToken({ sandboxId: sandbox.sandboxId, audience, permit: await permitFor(sandbox) });
    expect(await reasonOf(call)).toBe("PRINCIPAL_NOT_ALLOWED");
  });
});

describe("CreateExchangePermit", () => {
  it.each([
    ["audience", { audience: "" }],
    ["audience", { audience: "a b" }],
    ["audience", { audience: "a".repeat(256) }],
    ["policy_revision", { policyRevision: 0n }],
  ])("names a %s that is none", async (field, over) => {
    const { sandboxId } = await registerSandbox(bench);
    const call = bench.policyService.createExchangePermit({ sandboxId, audience, policyRevision: 1n, ...over });
    await expect(call).rejects.toMatchObject({ reason: "REQUEST_INVALID", metadata: { field } });
  });

  it("is refused for a sandbox that there is not, that is revoked, and that is gone", async () => {
    const ask = (sandboxId: string) =>
      reasonOf(bench.policyService.createExchangePermit({ sandboxId, audience, policyRevision: 1n }));
    expect(await ask(newSandboxId())).toBe("SANDBOX_NOT_FOUND");
    const { sandboxId } = await registerSandbox(bench);
    await bench.as({ principal: operator }).revokeSandbox({ sandbox: sandboxId });
    expect(await ask(sandboxId)).toBe("CREDENTIAL_REVOKED");
    await bench.sandboxService.retireSandbox({ sandboxId });
    expect(await ask(sandboxId)).toBe("SANDBOX_NOT_FOUND");
  });
});

function changed(token: string): string {
  const at = token.indexOf(".") + 20;
  return token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
}
