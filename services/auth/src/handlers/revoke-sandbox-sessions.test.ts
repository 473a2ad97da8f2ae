import { createHash } from "node:crypto";
import { RevocationKind } from "@sandgate/api/auth";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AuthBench,
  operator,
  operatorId,
  reasonOf,
  registerSandbox,
  startAuthBench,
} from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const own = () => bench.as({ principal: operator });
const elsewhere = { ...operator, organizationId: "11111111-1111-4111-8111-111111111111" };
const foreign = () => bench.as({ principal: elsewhere });
const minted = async () => {
  const { sandboxId } = await registerSandbox(bench);
  return { sandboxId, ...(await own().issueEgressToken({ sandboxId })) };
};
const byId = (tokenId: string) => ({ key: { case: "tokenId", value: tokenId } }) as const;

describe("GetSandboxSession", () => {
  it("S0-40, D-40 shows whose token it is, by its id and by its hash", async () => {
    const { token, tokenId, sandboxId, expireTime } = await minted();
    const tokenSha256 = createHash("sha256").update(token).digest("hex");
    const { session } = await own().getSandboxSession(byId(tokenId));
    expect(session).toMatchObject({ tokenId, tokenSha256, sandboxId, userId: operatorId, audience: "egress-proxy" });
    expect(session?.expireTime).toEqual(expireTime);
    const byHash = await own().getSandboxSession({ key: { case: "tokenSha256", value: tokenSha256 } });
    expect(byHash.session).toEqual(session);
  });

  it.each([
    ["no key", {}, "REQUEST_INVALID"],
    ["an id that is none", byId("x"), "REQUEST_INVALID"],
    ["a hash that is none", { key: { case: "tokenSha256", value: "x" } } as const, "REQUEST_INVALID"],
    ["an id that nobody has", byId("x".repeat(43)), "SANDBOX_SESSION_NOT_FOUND"],
  ])("refuses %s", async (_name, request, reason) => {
    expect(await reasonOf(own().getSandboxSession(request))).toBe(reason);
  });

  it("G-25 finds nothing of another organization", async () => {
    const { tokenId } = await minted();
    expect(await reasonOf(foreign().getSandboxSession(byId(tokenId)))).toBe("SANDBOX_SESSION_NOT_FOUND");
  });
});

describe("ListSandboxSessions", () => {
  it("S0-43, D-42 lists in pages, of a sandbox by id and of a user", async () => {
    const { sandboxId, tokenId } = await minted();
    const second = await own().issueEgressToken({ sandboxId });
    const first = await own().listSandboxSessions({ sandbox: sandboxId, userId: operatorId, pageSize: 1 });
    const { nextPageToken: pageToken } = first;
    const rest = await own().listSandboxSessions({ sandbox: sandboxId, userId: operatorId, pageSize: 1, pageToken });
    const ids = [...first.sessions, ...rest.sessions].map((session) => session.tokenId);
    expect(ids.toSorted()).toEqual([tokenId, second.tokenId].toSorted());
    expect(rest.nextPageToken).toBe("");
    const other = own().listSandboxSessions({ pageToken });
    expect(await reasonOf(other)).toBe("PAGE_TOKEN_INVALID");
  });

  it("finds a sandbox by its name", async () => {
    const { sandboxId, tokenId } = await minted();
    const { subject } = await bench.sandboxService.resolveSandbox({ key: { case: "sandboxId", value: sandboxId } });
    const { sessions } = await own().listSandboxSessions({ sandbox: subject?.name ?? "" });
    expect(sessions.map((session) => session.tokenId)).toEqual([tokenId]);
  });

  it.each([
    ["a page of 1001", { pageSize: 1_001 }, "REQUEST_INVALID"],
    ["a user id that is none", { userId: "x" }, "REQUEST_INVALID"],
    ["a sandbox that there is not", { sandbox: "nobody" }, "SANDBOX_NOT_FOUND"],
    ["a sandbox that has no name", { sandbox: "../x" }, "SANDBOX_NOT_FOUND"],
  ])("refuses %s", async (_name, request, reason) => {
    expect(await reasonOf(own().listSandboxSessions(request))).toBe(reason);
  });

  it("G-25 does not know another organization's sandbox", async () => {
    const { sandboxId } = await minted();
    expect(await reasonOf(foreign().listSandboxSessions({ sandbox: sandboxId }))).toBe("SANDBOX_NOT_FOUND");
    expect((await foreign().listSandboxSessions({})).sessions).toEqual([]);
  });
});

describe("RevokeSandboxSessions", () => {
  it("G-15, S0-42, D-42 has told every listener of this replica when it answers, and of another soon after", async () => {
    const replica = await bench.startReplica();
    const { tokenId } = await minted();
    const told = Promise.withResolvers<void>();
    const stop = replica.module.trust.onChange(({ change }) => {
      if (change.case !== "revocation" || change.value.subject !== tokenId) return;
      expect(change.value.kind).toBe(RevocationKind.TOKEN);
      told.resolve();
    });
    const answer = await own().revokeSandboxSessions({ target: { case: "tokenId", value: tokenId }, reason: "lost" });
    expect(answer.revokedCount).toBe(1);
    expect(bench.module.trust.isTokenRevoked(tokenId)).toBe(true);
    await told.promise;
    stop();
    expect(replica.module.trust.isTokenRevoked(tokenId)).toBe(true);
    expect(await reasonOf(own().getSandboxSession(byId(tokenId)))).toBe("SANDBOX_SESSION_NOT_FOUND");
  });

  it("changes nothing when it is repeated", async () => {
    const { tokenId } = await minted();
    const target = { case: "tokenId", value: tokenId } as const;
    await own().revokeSandboxSessions({ target });
    expect((await own().revokeSandboxSessions({ target })).revokedCount).toBe(0);
  });

  it("D-42 revokes all of a sandbox, of a user and of the organization", async () => {
    const { sandboxId } = await minted();
    const count = async (target: Parameters<ReturnType<typeof own>["revokeSandboxSessions"]>[0]["target"]) =>
      (await own().revokeSandboxSessions({ ...(target && { target }) })).revokedCount;
    expect(await count({ case: "sandbox", value: sandboxId })).toBe(1);
    await minted();
    expect(await count({ case: "userId", value: operatorId })).toBeGreaterThan(0);
    await minted();
    await minted();
    expect(await count({ case: "all", value: true })).toBe(2);
    expect((await own().listSandboxSessions({})).sessions).toEqual([]);
  });

  it("G-15, D-10 a sandbox's end revokes its container tokens by id too", async () => {
    const { sandboxId, tokenId } = await minted();
    await bench.sandboxService.retireSandbox({ sandboxId });
    expect(bench.module.trust.isTokenRevoked(tokenId)).toBe(true);
    expect(await reasonOf(own().getSandboxSession(byId(tokenId)))).toBe("SANDBOX_SESSION_NOT_FOUND");
  });

  it.each([
    ["no target", {}, "REQUEST_INVALID"],
    ["all, but not quite", { target: { case: "all", value: false } } as const, "REQUEST_INVALID"],
    ["a long reason", { target: { case: "all", value: true }, reason: "x".repeat(201) } as const, "REQUEST_INVALID"],
    [
      "a token that there is not",
      { target: { case: "tokenId", value: "x".repeat(43) } } as const,
      "SANDBOX_SESSION_NOT_FOUND",
    ],
    ["a sandbox that there is not", { target: { case: "sandbox", value: "nobody" } } as const, "SANDBOX_NOT_FOUND"],
  ])("refuses %s", async (_name, request, reason) => {
    expect(await reasonOf(own().revokeSandboxSessions(request))).toBe(reason);
  });

  it("G-25 leaves another organization's alone", async () => {
    const { sandboxId, tokenId } = await minted();
    const revoke = (target: { case: "tokenId" | "sandbox"; value: string } | { case: "all"; value: boolean }) =>
      reasonOf(foreign().revokeSandboxSessions({ target }));
    expect(await revoke({ case: "tokenId", value: tokenId })).toBe("SANDBOX_SESSION_NOT_FOUND");
    expect(await revoke({ case: "sandbox", value: sandboxId })).toBe("SANDBOX_NOT_FOUND");
    expect(await revoke({ case: "all", value: true })).toBe("OK");
    expect(bench.module.trust.isTokenRevoked(tokenId)).toBe(false);
  });
});
