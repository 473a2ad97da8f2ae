import { Role } from "@sandgate/api/options";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, operatorId, reasonOf, startAuthBench } from "../auth-bench.contract.ts";
import { asAdmin, asNobody, asUser, auditedAbout, createUser, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const userIdOf = (session: { user?: { userId: string } | undefined }) => session.user?.userId ?? "";

describe("DisableUser and EnableUser", () => {
  it("G-15: end what the user holds, at once, and let them in again", async () => {
    const { login, session } = await createUser(bench);
    const { user } = await asAdmin(bench).disableUser({ user: login });
    expect(user).toMatchObject({ login, active: false });
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(await bench.module.subjects.findUser(userIdOf(session))).toMatchObject({ active: false });
    await asAdmin(bench).enableUser({ user: userIdOf(session) });
    expect(await reasonOf(asNobody(bench).login({ login, password }))).toBe("OK");
    expect(await auditedAbout(bench, userIdOf(session))).toEqual(
      expect.arrayContaining(["user.disabled", "user.enabled"]),
    );
  });

  it("withdraw the invitations that the user has made", async () => {
    const { login, session } = await createUser(bench, Role.ADMIN);
    const { token } = await asUser(bench, session).inviteUser({ login: "friend@example.test", role: Role.ADMIN });
    await asAdmin(bench).disableUser({ user: login });
    expect(await reasonOf(asNobody(bench).acceptInvitation({ token, password }))).toBe("INVITATION_NOT_FOUND");
  });

  it("change nothing when they are repeated", async () => {
    const { login, session } = await createUser(bench);
    for (let count = 0; count < 2; count++) await asAdmin(bench).disableUser({ user: login });
    const actions = await auditedAbout(bench, userIdOf(session));
    expect(actions.filter((action) => action === "user.disabled")).toHaveLength(1);
  });
});

describe("SetUserRole", () => {
  it("gives another role, which the register has at once", async () => {
    const { login, session } = await createUser(bench, Role.ADMIN);
    const { user } = await asAdmin(bench).setUserRole({ user: login, role: Role.VIEWER });
    expect(user).toMatchObject({ role: Role.VIEWER });
    expect(await bench.module.subjects.findUser(userIdOf(session))).toMatchObject({ role: Role.VIEWER });
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(false);
  });

  it("leaves an organization an administrator when two take the role from each other", async () => {
    const [one, two] = [await createUser(bench, Role.ADMIN), await createUser(bench, Role.ADMIN)];
    const demote = (from: typeof one, whom: typeof one) =>
      reasonOf(asUser(bench, from.session).setUserRole({ user: whom.login, role: Role.VIEWER }));
    expect((await Promise.all([demote(one, two), demote(two, one)])).sort()).toEqual(["OK", "ROLE_TOO_LOW"]);
  });

  it.each([
    ["themselves", "own", "OWN_ACCOUNT"],
    ["a user of the configuration", operatorId, "USER_FROM_CONFIGURATION"],
    ["somebody who is not there", "nobody@example.test", "USER_NOT_FOUND"],
    ["what is no name", "no body", "USER_NOT_FOUND"],
  ])("refuses %s", async (_, named, reason) => {
    const { login, session } = await createUser(bench, Role.ADMIN);
    const user = named === "own" ? login : named;
    expect(await reasonOf(asUser(bench, session).setUserRole({ user, role: Role.VIEWER }))).toBe(reason);
  });

  it("G-25: does not find a user of another organization", async () => {
    const foreign = sessionIn(
      await asNobody(bench).signUp({ login: "foreign@example.test", password, organizationName: "Elsewhere" }),
    );
    for (const user of ["foreign@example.test", userIdOf(foreign)])
      expect(await reasonOf(asAdmin(bench).setUserRole({ user, role: Role.VIEWER }))).toBe("USER_NOT_FOUND");
    const { users } = await asUser(bench, foreign).listUsers({});
    expect(users.map(({ userId }) => userId)).toEqual([userIdOf(foreign)]);
  });
});

describe("ListUsers", () => {
  it("gives page after page, and takes no other list's token", async () => {
    for (let count = 0; count < 3; count++) await createUser(bench);
    const all = (await asAdmin(bench).listUsers({})).users.map(({ userId }) => userId);
    const paged: string[] = [];
    let pageToken = "";
    do {
      const page = await asAdmin(bench).listUsers({ pageSize: 2, pageToken });
      paged.push(...page.users.map(({ userId }) => userId));
      pageToken = page.nextPageToken;
      if (pageToken !== "")
        expect(await reasonOf(asAdmin(bench).listInvitations({ pageToken }))).toBe("PAGE_TOKEN_INVALID");
    } while (pageToken !== "");
    expect(paged).toEqual(all);
    expect(await reasonOf(asAdmin(bench).listUsers({ pageSize: 1_001 }))).toBe("REQUEST_INVALID");
  });
});
