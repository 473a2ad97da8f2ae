import { createKeySet, verifyToken } from "@sandgate/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AuthBench,
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

describe("IssueEgressToken", () => {
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
        enforceContainerBinding: true,
        useEgressGateway: true,
        enforceCentralizedEgress: true,
        isHipaaRegulated: false,
        isPciCompliant: false,
        allowedHosts: undefined,
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
