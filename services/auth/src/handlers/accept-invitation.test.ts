import { Role } from "@sandgate/api/options";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuthBench, organizationId, reasonOf, start, startAuthBench } from "../auth-bench.contract.ts";
import { asAdmin, asNobody, auditedAbout, createUser, newLogin, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const invite = async (login: string, role = Role.VIEWER) => (await asAdmin(bench).inviteUser({ login, role })).token;
const accept = (token: string, over: { password?: string; name?: string } = {}) =>
  asNobody(bench).acceptInvitation({ token, password, ...over });

describe("InviteUser and AcceptInvitation", () => {
  it("make an account in the inviter's organization with the role that was given", async () => {
    const login = newLogin();
    const session = sessionIn(await accept(await invite(login, Role.OPERATOR), { name: "  Grace Hopper " }));
    expect(session).toMatchObject({ login, user: { organizationId, name: "Grace Hopper", role: Role.OPERATOR } });
    expect(await reasonOf(asNobody(bench).login({ login, password }))).toBe("OK");
  });

  it("take an invitation once, of many at the same moment too", async () => {
    const token = await invite(newLogin());
    const reasons = await Promise.all(Array.from({ length: 4 }, () => reasonOf(accept(token))));
    expect(reasons.sort()).toEqual(["INVITATION_NOT_FOUND", "INVITATION_NOT_FOUND", "INVITATION_NOT_FOUND", "OK"]);
  });

  it("leave the invitation for another try when the password was no good", async () => {
    const token = await invite(newLogin());
    expect(await reasonOf(accept(token, { password: "short" }))).toBe("PASSWORD_UNACCEPTABLE");
    expect(await reasonOf(accept(token, { name: "x".repeat(101) }))).toBe("REQUEST_INVALID");
    expect(await reasonOf(accept(token))).toBe("OK");
  });

  it("refuse an invitation that was replaced, withdrawn, or is over its time", async () => {
    const login = newLogin();
    const replaced = await invite(login);
    const current = await invite(login);
    expect(await reasonOf(accept(replaced))).toBe("INVITATION_NOT_FOUND");
    await asAdmin(bench).withdrawInvitation({ invitation: login });
    expect(await reasonOf(accept(current))).toBe("INVITATION_NOT_FOUND");
    const late = await invite(login);
    bench.clock.now += 7 * 86_400_000;
    expect(await reasonOf(accept(late))).toBe("INVITATION_NOT_FOUND");
  });

  it("let a user who has forgotten the password set a new one, and end their sessions", async () => {
    const { login, session } = await createUser(bench, Role.OPERATOR);
    const token = await invite(login, Role.ADMIN);
    const fresh = sessionIn(await accept(token, { password: "quite another phrase" }));
    expect(fresh.user).toMatchObject({ userId: session.user?.userId, role: Role.OPERATOR });
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(await reasonOf(asNobody(bench).login({ login, password }))).toBe("LOGIN_FAILED");
    expect(await auditedAbout(bench, session.user?.userId ?? "")).toContain("password.reset");
  });

  it("do not let a disabled user back in", async () => {
    const { login } = await createUser(bench);
    const before = await invite(login);
    await asAdmin(bench).disableUser({ user: login });
    expect(await reasonOf(accept(before))).toBe("INVITATION_NOT_FOUND");
    expect(await reasonOf(accept(await invite(login)))).toBe("INVITATION_NOT_FOUND");
  });

  it("G-25: tell nobody but the invited that another organization has the login name", async () => {
    const elsewhere = newLogin();
    await asNobody(bench).signUp({ login: elsewhere, password, organizationName: "Elsewhere" });
    const token = await invite(elsewhere);
    expect(await reasonOf(accept(token))).toBe("LOGIN_TAKEN");
  });

  it.each([
    ["a login name that is none", { login: "no body", role: Role.VIEWER }],
    ["a login name in the form of an id", { login: crypto.randomUUID(), role: Role.VIEWER }],
    ["no role", { login: "x@example.test" }],
    ["a role that there is not", { login: "x@example.test", role: 9 as Role }],
  ])("refuse %s", async (_, request) => {
    expect(await reasonOf(asAdmin(bench).inviteUser(request))).toBe("REQUEST_INVALID");
  });

  it("keep no token, only its hash", async () => {
    const token = await invite(newLogin());
    const { rows } = await bench.database
      .createPool("auth")
      .query<{ row: string }>("select i::text as row from invitations i");
    expect(rows.length).toBeGreaterThan(0);
    for (const { row } of rows) expect(row).not.toContain(token.slice(4));
  });
});
