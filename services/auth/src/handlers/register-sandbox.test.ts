import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AuthBench,
  enrol,
  newSandboxId,
  operatorId,
  organizationId,
  reasonOf,
  registerSandbox,
  startAuthBench,
} from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const registration = (over: Partial<Record<"sandboxId" | "name" | "organizationId" | "ownerUserId", string>> = {}) => {
  const sandboxId = over.sandboxId ?? newSandboxId();
  return { sandboxId, name: sandboxId, organizationId, ownerUserId: operatorId, incarnation: 1n, ...over };
};

describe("RegisterSandbox", () => {
  it("enters a sandbox and opens its sockets", async () => {
    const request = registration();
    const { subject } = await bench.sandboxService.registerSandbox(request);
    expect(subject).toMatchObject({ ...request, alive: true, trusted: true, keyThumbprint: "" });
    expect(bench.sockets).toContain(request.sandboxId);
  });

  it("changes nothing when it is repeated", async () => {
    const request = registration();
    const first = await bench.sandboxService.registerSandbox(request);
    expect(await bench.sandboxService.registerSandbox(request)).toEqual(first);
    const { events } = await bench.audit.list({
      organizationId,
      sandboxId: request.sandboxId,
      pageSize: 10,
      pageToken: "",
    });
    expect(events).toHaveLength(1);
  });

  it("takes a name once among the living of an organization", async () => {
    const first = registration({ name: "worker" });
    const second = registration({ name: "worker" });
    await bench.sandboxService.registerSandbox(first);
    expect(await reasonOf(bench.sandboxService.registerSandbox(second))).toBe("SANDBOX_NAME_TAKEN");
    const elsewhere = registration({ name: "worker", organizationId: "11111111-1111-4111-8111-111111111111" });
    expect(await reasonOf(bench.sandboxService.registerSandbox(elsewhere))).toBe("OK");
    await bench.sandboxService.retireSandbox({ sandboxId: first.sandboxId });
    expect(await reasonOf(bench.sandboxService.registerSandbox(second))).toBe("OK");
  });

  it("G-15 revokes what the last incarnation held when the next one is entered", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const { sandboxId } = sandbox;
    const { subject } = await bench.sandboxService.registerSandbox({ ...registration({ sandboxId }), incarnation: 2n });
    expect(subject).toMatchObject({ incarnation: 2n, trusted: true, keyThumbprint: "" });
    expect(bench.module.trust.isIncarnationRevoked(sandboxId, 1n)).toBe(true);
    expect(bench.module.trust.isIncarnationRevoked(sandboxId, 2n)).toBe(false);
    expect(await reasonOf(sandbox.session(tokenId).refreshSandboxToken({ sandboxId }))).toBe("CREDENTIAL_REVOKED");
  });

  it("trusts the next incarnation of a revoked sandbox", async () => {
    const { sandboxId } = await registerSandbox(bench);
    await bench.as({}).revokeSandbox({ sandbox: sandboxId });
    const { subject } = await bench.sandboxService.registerSandbox({ ...registration({ sandboxId }), incarnation: 2n });
    expect(subject?.trusted).toBe(true);
  });

  it("refuses a lower incarnation, other content and a retired sandbox", async () => {
    const request = { ...registration(), incarnation: 3n };
    await bench.sandboxService.registerSandbox(request);
    const register = (over: object) => reasonOf(bench.sandboxService.registerSandbox({ ...request, ...over }));
    expect(await register({ incarnation: 2n })).toBe("SANDBOX_CHANGED");
    expect(await register({ name: "other" })).toBe("SANDBOX_CHANGED");
    expect(await register({ organizationId: "11111111-1111-4111-8111-111111111111" })).toBe("SANDBOX_CHANGED");
    await bench.sandboxService.retireSandbox({ sandboxId: request.sandboxId });
    expect(await register({})).toBe("SANDBOX_NOT_FOUND");
    expect(await register({ incarnation: 4n })).toBe("SANDBOX_NOT_FOUND");
  });

  it.each([
    ["sandbox_id", { sandboxId: "sbx-UPPER" }],
    ["name", { name: "-x" }],
    ["name", { name: "x".repeat(64) }],
    ["organization_id", { organizationId: "user_123" }],
    ["owner_user_id", { ownerUserId: "" }],
    ["incarnation", { incarnation: 0n }],
    ["incarnation", { incarnation: 2n ** 60n }],
  ])("refuses a %s that cannot be", async (field, over) => {
    const call = bench.sandboxService.registerSandbox({ ...registration(), ...over });
    await expect(call).rejects.toMatchObject({ reason: "REQUEST_INVALID", metadata: { field } });
  });
});

describe("RetireSandbox", () => {
  it("G-15 ends a sandbox for good, and repeating it changes nothing", async () => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    const { sandboxId } = sandbox;
    await bench.sandboxService.retireSandbox({ sandboxId });
    expect(await bench.module.subjects.findSandbox(sandboxId)).toMatchObject({ alive: false, trusted: false });
    expect(bench.module.trust.isIncarnationRevoked(sandboxId, 1n)).toBe(true);
    expect(bench.sockets).not.toContain(sandboxId);
    expect(await reasonOf(bench.sandboxService.retireSandbox({ sandboxId }))).toBe("OK");
  });

  it("refuses a sandbox that never was", async () => {
    expect(await reasonOf(bench.sandboxService.retireSandbox({ sandboxId: newSandboxId() }))).toBe("SANDBOX_NOT_FOUND");
  });
});

describe("RevokeSandbox", () => {
  it("G-15 revokes the incarnation and its certificates; repeating it changes nothing", async () => {
    const sandbox = await registerSandbox(bench);
    const { credentials } = await enrol(bench, sandbox);
    const { sandboxId } = sandbox;
    const revoke = () => bench.as({}).revokeSandbox({ sandbox: sandboxId, reason: "seen elsewhere" });
    await revoke();
    await revoke();
    expect(await bench.module.subjects.findSandbox(sandboxId)).toMatchObject({ alive: true, trusted: false });
    const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(credentials.certificateChain[0] ?? []));
    expect(bench.module.trust.isCertificateRevoked(Buffer.from(digest).toString("hex"))).toBe(true);
    const { events } = await bench.audit.list({ organizationId, sandboxId, pageSize: 10, pageToken: "" });
    expect(events.filter(({ action }) => action === "sandbox.revoked")).toHaveLength(1);
    expect(events[0]?.details.reason).toBe("seen elsewhere");
  });

  it("leaves no way to a bootstrap credential", async () => {
    const sandbox = await registerSandbox(bench);
    const { sandboxId } = sandbox;
    await bench.as({}).revokeSandbox({ sandbox: sandboxId });
    const create = (incarnation: bigint, id = sandboxId) =>
      reasonOf(bench.sandboxService.createBootstrapCredential({ sandboxId: id, incarnation }));
    expect(await create(1n)).toBe("CREDENTIAL_REVOKED");
    expect(await create(2n)).toBe("SANDBOX_CHANGED");
    expect(await create(1n, newSandboxId())).toBe("SANDBOX_NOT_FOUND");
  });

  it("refuses a reason that is too long", async () => {
    const { sandboxId } = await registerSandbox(bench);
    const call = bench.as({}).revokeSandbox({ sandbox: sandboxId, reason: "x".repeat(201) });
    await expect(call).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  });
});
