import { X509Certificate } from "node:crypto";
import { createCsr, createKeyPair, isIssuedBy, keyThumbprint, readCertificate } from "@sandgate/pki";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type AuthBench,
  claimsOf,
  describeSandbox,
  enrol,
  organizationId,
  reasonOf,
  registerSandbox,
  start,
  startAuthBench,
} from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

/** A bootstrap credential's id, fresh. */
const bootstrap = async (sandboxId: string, incarnation = 1n) =>
  String(claimsOf((await bench.sandboxService.createBootstrapCredential({ sandboxId, incarnation })).token).jti);

describe("IssueSandboxToken", () => {
  it("G-02 gives a certificate for the request's key and a session token bound to it", async () => {
    const sandbox = await registerSandbox(bench);
    const { credentials } = await enrol(bench, sandbox);
    const [der] = credentials.certificateChain;
    if (der === undefined) throw new Error("no certificate");
    expect(isIssuedBy(der, bench.authority.certificatePem, start)).toBe(true);
    expect(readCertificate(der)).toMatchObject({
      spiffeId: `spiffe://sandgate.test/sandbox/${sandbox.sandboxId}`,
      keyThumbprint: keyThumbprint(sandbox.keys.publicKey),
    });
    expect(claimsOf(credentials.token)).toMatchObject({
      iss: "https://auth.sandgate.test",
      aud: "sandgate",
      sub: `spiffe://sandgate.test/sandbox/${sandbox.sandboxId}`,
      sandbox_id: sandbox.sandboxId,
      organization_id: organizationId,
      incarnation: 1,
      cnf: { jkt: keyThumbprint(sandbox.keys.publicKey) },
      iat: start / 1000,
      exp: start / 1000 + 900,
    });
    expect(new X509Certificate(der).ca).toBe(false);
  });

  it("lets the register know the key by the time it answers", async () => {
    const sandbox = await registerSandbox(bench);
    expect((await bench.module.subjects.findSandbox(sandbox.sandboxId))?.keyThumbprint).toBe("");
    await enrol(bench, sandbox);
    const subject = await bench.module.subjects.findSandbox(sandbox.sandboxId);
    expect(subject?.keyThumbprint).toBe(keyThumbprint(sandbox.keys.publicKey));
  });

  it("answers the same key again, so that a lost answer strands nobody", async () => {
    const sandbox = await registerSandbox(bench);
    const { bootstrapTokenId } = await enrol(bench, sandbox);
    const again = sandbox.bootstrap(bootstrapTokenId).issueSandboxToken({
      sandboxId: sandbox.sandboxId,
      certificateSigningRequest: createCsr(sandbox.keys),
    });
    expect(await reasonOf(again)).toBe("OK");
  });

  it("G-16 refuses a used credential to another key, of many at once too", async () => {
    const sandbox = await registerSandbox(bench);
    const tokenId = await bootstrap(sandbox.sandboxId);
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        reasonOf(
          sandbox.bootstrap(tokenId).issueSandboxToken({
            sandboxId: sandbox.sandboxId,
            certificateSigningRequest: createCsr(createKeyPair()),
          }),
        ),
      ),
    );
    expect(outcomes.sort()).toEqual([...Array<string>(7).fill("BOOTSTRAP_USED"), "OK"]);
  });

  it("G-05 certifies the key of a pod, once: a token that a workload reads there enrols nothing more", async () => {
    const sandbox = await registerSandbox(bench);
    const podUid = crypto.randomUUID();
    const { sandboxId, keys } = sandbox;
    const enrolPod = (by: typeof sandbox, from = keys) =>
      reasonOf(
        by.pod(podUid).issueSandboxToken({ sandboxId: by.sandboxId, certificateSigningRequest: createCsr(from) }),
      );
    expect(await enrolPod(sandbox)).toBe("OK");
    expect(await enrolPod(sandbox)).toBe("OK");
    expect(await enrolPod(sandbox, createKeyPair())).toBe("BOOTSTRAP_USED");
    expect(await enrolPod(await registerSandbox(bench))).toBe("BOOTSTRAP_USED");
    const { events } = await bench.audit.list({ organizationId, sandboxId, pageSize: 100, pageToken: "" });
    expect(events.map(({ action }) => action)).toEqual([
      "call.denied",
      "token.issued",
      "token.issued",
      "sandbox.registered",
    ]);
    expect(events[1]?.details.pod_uid).toBe(podUid);
  });

  it("G-13 gives a pod's proof no other use", async () => {
    const sandbox = await registerSandbox(bench);
    const { sandboxId } = sandbox;
    const refreshing = sandbox.pod(crypto.randomUUID()).refreshSandboxToken({ sandboxId });
    expect(await reasonOf(refreshing)).toBe("PRINCIPAL_NOT_ALLOWED");
  });

  it("refuses a credential that a new one replaced", async () => {
    const sandbox = await registerSandbox(bench);
    const old = await bootstrap(sandbox.sandboxId);
    await bootstrap(sandbox.sandboxId);
    const request = { sandboxId: sandbox.sandboxId, certificateSigningRequest: createCsr(sandbox.keys) };
    expect(await reasonOf(sandbox.bootstrap(old).issueSandboxToken(request))).toBe("CREDENTIAL_REVOKED");
  });

  it("refuses a credential after ten minutes", async () => {
    const sandbox = await registerSandbox(bench);
    const tokenId = await bootstrap(sandbox.sandboxId);
    bench.clock.now += 600_000;
    const request = { sandboxId: sandbox.sandboxId, certificateSigningRequest: createCsr(sandbox.keys) };
    expect(await reasonOf(sandbox.bootstrap(tokenId).issueSandboxToken(request))).toBe("CREDENTIAL_EXPIRED");
  });

  it("refuses a credential of an incarnation that was replaced", async () => {
    const sandbox = await registerSandbox(bench);
    const tokenId = await bootstrap(sandbox.sandboxId);
    await bench.sandboxService.registerSandbox({
      sandboxId: sandbox.sandboxId,
      name: sandbox.sandboxId,
      organizationId,
      ownerUserId: "0b8f8c0e-1111-4222-8333-444455556666",
      incarnation: 2n,
    });
    const request = { sandboxId: sandbox.sandboxId, certificateSigningRequest: createCsr(sandbox.keys) };
    expect(await reasonOf(sandbox.bootstrap(tokenId).issueSandboxToken(request))).toBe("CREDENTIAL_REVOKED");
  });

  it.each([
    ["nothing", new Uint8Array()],
    ["noise", new Uint8Array(100).fill(1)],
  ])("refuses a request of %s and does not use the credential up", async (_name, certificateSigningRequest) => {
    const sandbox = await registerSandbox(bench);
    const client = sandbox.bootstrap(await bootstrap(sandbox.sandboxId));
    const { sandboxId, keys } = sandbox;
    expect(await reasonOf(client.issueSandboxToken({ sandboxId, certificateSigningRequest }))).toBe("CSR_INVALID");
    const good = { sandboxId, certificateSigningRequest: createCsr(keys) };
    expect(await reasonOf(client.issueSandboxToken(good))).toBe("OK");
  });

  it("revokes what another key of the same incarnation held", async () => {
    const first = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, first);
    const second = describeSandbox(bench, first.sandboxId, 1n, createKeyPair());
    await enrol(bench, second);
    expect(bench.module.trust.isTokenRevoked(tokenId)).toBe(true);
    expect(await reasonOf(first.session(tokenId).refreshSandboxToken({ sandboxId: first.sandboxId }))).toBe(
      "CREDENTIAL_REVOKED",
    );
  });

  it("G-31 is in the audit log, and so is its refusal, without a secret", async () => {
    const sandbox = await registerSandbox(bench);
    const { credentials, bootstrapTokenId } = await enrol(bench, sandbox);
    await reasonOf(
      sandbox.bootstrap(bootstrapTokenId).issueSandboxToken({
        sandboxId: sandbox.sandboxId,
        certificateSigningRequest: createCsr(createKeyPair()),
      }),
    );
    const { events } = await bench.audit.list({
      organizationId,
      sandboxId: sandbox.sandboxId,
      pageSize: 100,
      pageToken: "",
    });
    expect(events.map(({ action }) => action)).toEqual([
      "call.denied",
      "token.issued",
      "bootstrap.created",
      "sandbox.registered",
    ]);
    expect(events[0]?.details.reason).toBe("BOOTSTRAP_USED");
    const text = JSON.stringify(events.map(({ details }) => details));
    expect(text).not.toContain(bootstrapTokenId);
    expect(text).not.toContain(credentials.token);
  });

  it("D-40 keeps neither token in the database", async () => {
    const sandbox = await registerSandbox(bench);
    const { credentials, bootstrapTokenId } = await enrol(bench, sandbox);
    const pool = bench.database.createPool("auth");
    const { rows } = await pool.query<{ text: string }>(
      `select (select string_agg(s::text, ' ') from sandboxes s) || (select string_agg(s::text, ' ') from sessions s)
              || (select string_agg(e::text, ' ') from audit_events e) as text`,
    );
    expect(rows[0]?.text).not.toContain(bootstrapTokenId);
    expect(rows[0]?.text).not.toContain(credentials.token);
  });
});
