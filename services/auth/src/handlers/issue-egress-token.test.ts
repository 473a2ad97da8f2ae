import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createKeySet, type Peer, verifyToken } from "@sandgate/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AuthBench,
  claimsOf,
  enrol,
  operator,
  organizationId,
  reasonOf,
  registerSandbox,
  start,
  startAuthBench,
  trustDomain,
} from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const verification = () => ({
  keys: createKeySet(bench.keys.jwksJson),
  trustDomain,
  now: start,
  keyThumbprint: undefined,
});

const headerOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString());
const policyService: Peer = {
  kind: "service",
  service: "policy",
  spiffeId: `spiffe://${trustDomain}/service/policy`,
};
const asOperator = () => bench.as({ principal: operator });
const asPolicy = () => bench.as({ principal: operator, peer: policyService });

describe("IssueEgressToken, for a supervisor", () => {
  it("S0-03, S0-05, S0-06, D-13 gives a token that says who, and no host", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const { token } = await sandbox.session(tokenId).issueEgressToken({ sandboxId: sandbox.sandboxId });
    expect(await verifyToken("egress", token, verification())).toMatchObject({
      outcome: "verified",
      claims: {
        sandboxId: sandbox.sandboxId,
        organizationId,
        incarnation: 1n,
        audience: "egress-proxy",
        enforceContainerBinding: true,
        useEgressGateway: true,
        enforceCentralizedEgress: true,
        isHipaaRegulated: false,
        isPciCompliant: false,
        allowedHosts: undefined,
        confirmation: undefined,
        expiresAtMs: start + 900_000,
      },
    });
    const { events } = await bench.audit.list({
      organizationId,
      sandboxId: sandbox.sandboxId,
      pageSize: 1,
      pageToken: "",
    });
    expect(events[0]?.action).toBe("egress_token.issued");
  });

  it("D-08 is not for a bootstrap credential", async () => {
    const sandbox = await registerSandbox(bench);
    const call = sandbox.bootstrap("t".repeat(43)).issueEgressToken({ sandboxId: sandbox.sandboxId });
    expect(await reasonOf(call)).toBe("PRINCIPAL_NOT_ALLOWED");
  });

  it.each([
    ["options", { options: { isPciCompliant: true } }],
    ["hosts", { allowedHosts: ["api.example.test"] }],
  ])("D-09 has no %s", async (_name, request) => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const call = sandbox.session(tokenId).issueEgressToken({ sandboxId: sandbox.sandboxId, ...request });
    expect(await reasonOf(call)).toBe("REQUEST_INVALID");
  });

  it("D-10 is refused once the sandbox is revoked", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    await asOperator().revokeSandbox({ sandbox: sandbox.sandboxId });
    const call = sandbox.session(tokenId).issueEgressToken({ sandboxId: sandbox.sandboxId });
    expect(await reasonOf(call)).toBe("CREDENTIAL_REVOKED");
  });
});

describe("IssueEgressToken, for a user", () => {
  it("S0-02, S0-03, S0-04, D-01, D-02, D-03, D-05 mints what was asked for, in the claims that others read", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const { token, tokenId } = await asPolicy().issueEgressToken({
      sandboxId,
      allowedHosts: ["api.example.test", "*.wild.example.test"],
      options: {
        audience: "sandbox-api",
        life: durationFromMs(14_400_000),
        isHipaaRegulated: true,
        confirmation: { case: "certificateSha256", value: "c".repeat(43) },
      },
    });
    expect(headerOf(token)).toEqual({ typ: "JWT", alg: "ES256", kid: bench.keys.current("ES256").kid });
    expect(claimsOf(token)).toEqual({
      iss: `https://auth.${trustDomain}`,
      aud: "sandbox-api",
      sub: `spiffe://${trustDomain}/sandbox/${sandboxId}`,
      iat: start / 1000,
      nbf: start / 1000,
      exp: start / 1000 + 14_400,
      jti: tokenId,
      container_id: sandboxId,
      organization_uuid: organizationId,
      incarnation: 1,
      allowed_hosts: "api.example.test,*.wild.example.test",
      enforce_container_binding: "true",
      use_egress_gateway: "true",
      enforce_centralized_egress: "true",
      is_hipaa_regulated: "true",
      is_pci_compliant: "false",
      cnf: { "x5t#S256": "c".repeat(43) },
    });
  });

  it("S0-03 gives each token an id of 32 random bytes", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const ids = new Set<string>();
    for (let index = 0; index < 20; index += 1) ids.add((await asOperator().issueEgressToken({ sandboxId })).tokenId);
    expect(ids.size).toBe(20);
    for (const id of ids) expect(Buffer.from(id, "base64url")).toHaveLength(32);
  });

  it("D-09 takes hosts from the policy service alone", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const call = asOperator().issueEgressToken({ sandboxId, allowedHosts: ["api.example.test"] });
    expect(await reasonOf(call)).toBe("REQUEST_INVALID");
  });

  it.each([
    ["S0-04 a life of 5 hours", { life: durationFromMs(5 * 3_600_000) }],
    ["D-02 an audience that nobody named", { audience: "elsewhere" }],
    ["S0-06 no binding", { enforceContainerBinding: false }],
  ])("refuses %s", async (_name, options) => {
    const { sandboxId } = await registerSandbox(bench);
    expect(await reasonOf(asOperator().issueEgressToken({ sandboxId, options }))).toBe("REQUEST_INVALID");
  });

  it("D-10, D-30 refuses a sandbox that was retired or revoked", async () => {
    const { sandboxId } = await registerSandbox(bench);
    await asOperator().revokeSandbox({ sandbox: sandboxId });
    expect(await reasonOf(asOperator().issueEgressToken({ sandboxId }))).toBe("CREDENTIAL_REVOKED");
    await bench.sandboxService.retireSandbox({ sandboxId });
    expect(await reasonOf(asOperator().issueEgressToken({ sandboxId }))).toBe("SANDBOX_NOT_FOUND");
  });

  it("S0-06 lets a configuration for development switch the binding off", async () => {
    const lax = await startAuthBench({ mayBeUnenforced: true });
    try {
      const { sandboxId } = await registerSandbox(lax);
      const { token } = await lax
        .as({ principal: operator })
        .issueEgressToken({ sandboxId, options: { enforceContainerBinding: false } });
      expect(claimsOf(token)).toMatchObject({ enforce_container_binding: "false", use_egress_gateway: "true" });
    } finally {
      await lax.stop();
    }
  });

  it("G-31 names the minted token and its hosts in the audit log, never the token", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const { token, tokenId } = await asPolicy().issueEgressToken({ sandboxId, allowedHosts: ["api.example.test"] });
    const { events } = await bench.audit.list({ organizationId, sandboxId, pageSize: 1, pageToken: "" });
    expect(events[0]).toMatchObject({
      action: "egress_token.issued",
      principal: operator.kind === "user" ? operator.spiffeId : "",
      peer: policyService.spiffeId,
      details: { token_id: tokenId, audience: "egress-proxy", allowed_hosts: "api.example.test" },
    });
    expect(JSON.stringify(events[0]?.details)).not.toContain(token.split(".")[2] ?? token);
  });
});

describe("CreateUserToken", () => {
  it("gives the caller a session token of 15 minutes", async () => {
    const { token } = await bench.as({ principal: operator }).createUserToken({});
    expect(await verifyToken("user", token, verification())).toMatchObject({
      outcome: "verified",
      claims: { userId: operator.kind === "user" ? operator.userId : "", organizationId, expiresAtMs: start + 900_000 },
    });
  });

  it("is not for a caller who came with such a token", async () => {
    const client = bench.as({ principal: { ...operator, authenticator: "user-session" } });
    expect(await reasonOf(client.createUserToken({}))).toBe("PRINCIPAL_NOT_ALLOWED");
  });
});

describe("GetPrincipal", () => {
  it("shows a user as the register has him", async () => {
    const answer = await bench.as({ principal: operator }).getPrincipal({});
    expect(answer).toMatchObject({
      spiffeId: operator.kind === "user" ? operator.spiffeId : "",
      authenticator: "operator-certificate",
      subject: { case: "user", value: { name: "Ada", organizationId, active: true } },
    });
  });

  it("shows a sandbox as the register has it", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const answer = await sandbox.session(tokenId).getPrincipal({});
    expect(answer).toMatchObject({
      subject: { case: "sandbox", value: { sandboxId: sandbox.sandboxId, trusted: true } },
    });
  });
});

describe("ListAuditEvents", () => {
  it("G-25 lists the caller's organization alone, in pages", async () => {
    await registerSandbox(bench);
    const own = bench.as({ principal: operator });
    const first = await own.listAuditEvents({ pageSize: 1 });
    expect(first.events).toHaveLength(1);
    const second = await own.listAuditEvents({ pageSize: 1, pageToken: first.nextPageToken });
    expect(second.events[0]?.sequence).toBeLessThan(first.events[0]?.sequence ?? 0n);
    const stranger = { ...operator, organizationId: "11111111-1111-4111-8111-111111111111" };
    const others = await bench.as({ principal: stranger }).listAuditEvents({});
    expect(others.events).toEqual([]);
  });

  it("refuses a page token of another list and a page size out of range", async () => {
    const own = bench.as({ principal: operator });
    const { nextPageToken } = await own.listAuditEvents({ pageSize: 1 });
    const other = own.listAuditEvents({ pageSize: 1, pageToken: nextPageToken, action: "sandbox.registered" });
    expect(await reasonOf(other)).toBe("PAGE_TOKEN_INVALID");
    expect(await reasonOf(own.listAuditEvents({ pageSize: 1_001 }))).toBe("REQUEST_INVALID");
  });
});

describe("ResolveSandbox and ResolveUser", () => {
  it("find what is in the register and nothing else", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const byId = await bench.as({}).resolveSandbox({ key: { case: "sandboxId", value: sandboxId } });
    const name = { organizationId, name: sandboxId };
    const byName = await bench.as({}).resolveSandbox({ key: { case: "name", value: name } });
    expect(byName).toEqual(byId);
    const elsewhere = { ...name, organizationId: "11111111-1111-4111-8111-111111111111" };
    const missing = bench.as({}).resolveSandbox({ key: { case: "name", value: elsewhere } });
    expect(await reasonOf(missing)).toBe("SANDBOX_NOT_FOUND");
    expect(await reasonOf(bench.as({}).resolveSandbox({}))).toBe("REQUEST_INVALID");
    expect(await reasonOf(bench.as({}).resolveUser({ userId: "nobody" }))).toBe("CREDENTIAL_REJECTED");
  });
});
