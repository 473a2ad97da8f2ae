import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Role } from "@sandgate/api/options";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuthBench, claimsOf, reasonOf, start, startAuthBench } from "../auth-bench.contract.ts";
import { admin, asAdmin, asNobody, asUser, createUser } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const exchange = (secret: string) => asNobody(bench).exchangeApiKey({ secret });

/** A user and a key of theirs. */
async function createKey(role = Role.VIEWER, over: { userRole?: Role; lifeMs?: number } = {}) {
  const user = await createUser(bench, over.userRole ?? Role.OPERATOR);
  const { apiKey, secret } = await asUser(bench, user.session).createApiKey({
    name: "ci",
    role,
    ...(over.lifeMs === undefined ? {} : { expireTime: timestampFromMs(start + over.lifeMs) }),
  });
  return { ...user, apiKeyId: apiKey?.apiKeyId ?? "", secret };
}

describe("CreateApiKey and ExchangeApiKey", () => {
  it("give a program a token of its user with the key's role, and note when", async () => {
    const { session, apiKeyId, secret } = await createKey();
    expect(secret).toMatch(/^sgk_[0-9A-Za-z]{49}$/);
    bench.clock.now += 120_000;
    const { accessToken, user } = await exchange(secret);
    expect(user).toMatchObject({ userId: session.user?.userId, role: Role.VIEWER });
    expect(claimsOf(accessToken)).toMatchObject({ api_key_id: apiKeyId, role: "viewer" });
    const { apiKeys } = await asUser(bench, session).listApiKeys({});
    expect(apiKeys).toMatchObject([{ apiKeyId, name: "ci", lastUsedTime: timestampFromMs(start + 120_000) }]);
  });

  it("give no more than the user may do now", async () => {
    const { login, secret } = await createKey(Role.OPERATOR);
    await asAdmin(bench).setUserRole({ user: login, role: Role.VIEWER });
    expect((await exchange(secret)).user?.role).toBe(Role.VIEWER);
  });

  it("give tokens that end with the key", async () => {
    const { secret } = await createKey(Role.VIEWER, { lifeMs: 60_000 });
    expect(claimsOf((await exchange(secret)).accessToken)["exp"]).toBe(start / 1000 + 60);
    bench.clock.now += 60_000;
    expect(await reasonOf(exchange(secret))).toBe("CREDENTIAL_REJECTED");
  });

  it.each([
    ["more than the user's role", { name: "x", role: Role.ADMIN }, "ROLE_TOO_LOW"],
    ["no role", { name: "x" }, "REQUEST_INVALID"],
    ["no name", { name: "", role: Role.VIEWER }, "REQUEST_INVALID"],
    ["a name that is taken", { name: "ci", role: Role.VIEWER }, "API_KEY_NAME_TAKEN"],
    ["a time that is past", { name: "x", role: Role.VIEWER, expireTime: timestampFromMs(start) }, "REQUEST_INVALID"],
  ])("refuse %s", async (_, request, reason) => {
    const { session } = await createKey();
    expect(await reasonOf(asUser(bench, session).createApiKey(request))).toBe(reason);
  });

  it("let no key make another, nor a token without an end", async () => {
    const byKey = bench.as({ principal: { ...admin, authenticator: "api-key" } });
    expect(await reasonOf(byKey.createApiKey({ name: "x", role: Role.VIEWER }))).toBe("PRINCIPAL_NOT_ALLOWED");
    expect(await reasonOf(byKey.createUserToken({}))).toBe("PRINCIPAL_NOT_ALLOWED");
  });

  it("give a user at most 50 keys", async () => {
    const { session } = await createUser(bench);
    const create = (name: string) => reasonOf(asUser(bench, session).createApiKey({ name, role: Role.VIEWER }));
    const reasons = await Promise.all(Array.from({ length: 52 }, (_, index) => create(`key ${index}`)));
    expect(reasons.filter((reason) => reason === "OK")).toHaveLength(50);
    expect(reasons.filter((reason) => reason === "LIMIT_REACHED")).toHaveLength(2);
  });

  it("refuse what is no key", async () => {
    for (const secret of ["", "sgk_", "sgr_0000000000000000000000000000000000000000000000000"])
      expect(await reasonOf(exchange(secret))).toBe("CREDENTIAL_REJECTED");
  });
});

describe("RevokeApiKey", () => {
  it("G-15: ends the key and what it was exchanged for; repeating it changes nothing", async () => {
    const { session, apiKeyId, secret } = await createKey();
    for (let count = 0; count < 2; count++) await asUser(bench, session).revokeApiKey({ apiKeyId });
    expect(bench.module.trust.isSessionEnded(apiKeyId)).toBe(true);
    expect(await reasonOf(exchange(secret))).toBe("CREDENTIAL_REJECTED");
    expect((await asUser(bench, session).listApiKeys({})).apiKeys).toEqual([]);
  });

  it("G-25: is for the key's user and administrators of the organization", async () => {
    const { apiKeyId, secret } = await createKey();
    const { session: stranger } = await createUser(bench);
    expect(await reasonOf(asUser(bench, stranger).revokeApiKey({ apiKeyId }))).toBe("API_KEY_NOT_FOUND");
    const foreign = { ...admin, organizationId: crypto.randomUUID() };
    expect(await reasonOf(bench.as({ principal: foreign }).revokeApiKey({ apiKeyId }))).toBe("API_KEY_NOT_FOUND");
    expect(await reasonOf(exchange(secret))).toBe("OK");
    expect(await reasonOf(asAdmin(bench).revokeApiKey({ apiKeyId }))).toBe("OK");
    expect(await reasonOf(asUser(bench, stranger).revokeApiKey({ apiKeyId: "x" }))).toBe("API_KEY_NOT_FOUND");
  });

  it("happens to all keys of a user who is disabled, for good", async () => {
    const { login, secret } = await createKey();
    await asAdmin(bench).disableUser({ user: login });
    await asAdmin(bench).enableUser({ user: login });
    expect(await reasonOf(exchange(secret))).toBe("CREDENTIAL_REJECTED");
  });
});

describe("ListApiKeys", () => {
  it("shows the organization's keys to administrators alone", async () => {
    const { session, apiKeyId } = await createKey();
    const { apiKeys } = await asAdmin(bench).listApiKeys({ allUsers: true });
    expect(apiKeys.map((key) => key.apiKeyId)).toContain(apiKeyId);
    expect(await reasonOf(asUser(bench, session).listApiKeys({ allUsers: true }))).toBe("ROLE_TOO_LOW");
  });
});
