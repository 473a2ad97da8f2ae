import { hash as hashBcrypt } from "@node-rs/bcrypt";
import { Role } from "@sandgate/api/options";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuthBench, claimsOf, reasonOf, start, startAuthBench } from "../auth-bench.contract.ts";
import { asAdmin, asNobody, auditedAbout, createUser, newLogin, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const login = (name: string, given = password) => asNobody(bench).login({ login: name, password: given });

describe("Login", () => {
  it("gives a session for a login name and its password", async () => {
    const { login: name, session: first } = await createUser(bench);
    const session = sessionIn(await login(name));
    const userId = first.user?.userId ?? "";
    expect(session).toMatchObject({ login: name, user: { userId, role: Role.OPERATOR, active: true } });
    expect(claimsOf(session.accessToken)).toMatchObject({ sid: session.sessionId, role: "operator" });
    expect(session.sessionId).not.toBe(first.sessionId);
    expect(await auditedAbout(bench, userId)).toEqual(["user.joined", "user.logged_in", "user.logged_in"]);
  });

  it("takes upper case and another spelling of the same characters", async () => {
    const name = newLogin();
    const { token } = await asAdmin(bench).inviteUser({ login: name, role: Role.VIEWER });
    await asNobody(bench).acceptInvitation({ token, password: "un café à la crème" });
    const decomposed = "un café à la crème".normalize("NFD");
    expect(await reasonOf(login(name.toUpperCase(), decomposed))).toBe("OK");
  });

  it.each([
    ["another password", (name: string) => login(name, "another password")],
    ["no password", (name: string) => login(name, "")],
    ["a password that is too long for any", (name: string) => login(name, password.repeat(100))],
    ["a login name that nobody has", () => login("nobody@example.test")],
    ["a login name that is none", () => login("no body\u0000")],
  ])("refuses %s, and does not say what was wrong", async (_, attempt) => {
    const { login: name } = await createUser(bench);
    const refusal = await attempt(name).catch((error: Error) => error);
    expect(refusal).toMatchObject({ reason: "LOGIN_FAILED", message: "login name or password is wrong", metadata: {} });
  });

  it("refuses a disabled user, and tells the organization", async () => {
    const { login: name, session } = await createUser(bench);
    await asAdmin(bench).disableUser({ user: name });
    expect(await reasonOf(login(name))).toBe("LOGIN_FAILED");
    expect(await auditedAbout(bench, session.user?.userId ?? "")).toContain("user.login_refused");
  });

  it("refuses users of the configuration, who have no password", async () => {
    expect(await reasonOf(login("ada", password))).toBe("LOGIN_FAILED");
    expect(await reasonOf(login("", ""))).toBe("LOGIN_FAILED");
  });

  it("takes a bcrypt hash once and keeps argon2id from then on", async () => {
    const name = newLogin();
    const passwordHash = await hashBcrypt(password, 4);
    const { user } = await asAdmin(bench).importUser({ login: name, role: Role.VIEWER, passwordHash });
    expect(await reasonOf(login(name, "another password"))).toBe("LOGIN_FAILED");
    expect(await reasonOf(login(name))).toBe("OK");
    const { rows } = await bench.database
      .createPool("auth")
      .query<{ password_hash: string }>("select password_hash from users where id = $1", [user?.userId]);
    expect(rows[0]?.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await reasonOf(login(name))).toBe("OK");
  });

  it("slows down after ten wrong passwords, also for the right one, and lets go with time", async () => {
    const { login: name } = await createUser(bench);
    const reasons: string[] = [];
    for (let attempt = 0; attempt < 11; attempt++) reasons.push(await reasonOf(login(name, "a wrong password")));
    expect(reasons).toEqual([...Array(10).fill("LOGIN_FAILED"), "LOGIN_DELAYED"]);
    expect(await reasonOf(login(name))).toBe("LOGIN_DELAYED");
    const refusal = await login(name).catch((error: Error) => error);
    expect(refusal).toMatchObject({ metadata: { retry_after_seconds: "1" } });
    bench.clock.now += 1_000;
    expect(await reasonOf(login(name))).toBe("OK");
    expect(await reasonOf(login(name, "a wrong password"))).toBe("LOGIN_FAILED");
  });

  it("lets no more than ten of many guesses at the same moment through, at all replicas together", async () => {
    const { login: name } = await createUser(bench);
    const replica = await bench.startReplica();
    const guess = (at: AuthBench) => reasonOf(asNobody(at).login({ login: name, password: "a wrong password" }));
    const reasons = await Promise.all(
      Array.from({ length: 30 }, (_, index) => guess(index % 2 === 0 ? bench : replica)),
    );
    expect(reasons.filter((reason) => reason === "LOGIN_FAILED")).toHaveLength(10);
    expect(reasons.filter((reason) => reason === "LOGIN_DELAYED")).toHaveLength(20);
  });

  it("counts nothing against a name for attempts at another", async () => {
    for (let attempt = 0; attempt < 11; attempt++)
      await reasonOf(login("somebody-else@example.test", "a wrong password"));
    const { login: name } = await createUser(bench);
    expect(await reasonOf(login(name))).toBe("OK");
  });

  it("keeps twenty sessions of a user: the oldest ends, everywhere", async () => {
    const { login: name, session: first } = await createUser(bench);
    for (let count = 0; count < 20; count++) {
      bench.clock.now += 1_000;
      await login(name);
    }
    expect(bench.module.trust.isSessionEnded(first.sessionId)).toBe(true);
    const request = { refreshToken: first.refreshToken, requestId: crypto.randomUUID() };
    expect(await reasonOf(asNobody(bench).refreshUserSession(request))).toBe("CREDENTIAL_REVOKED");
  });
});
