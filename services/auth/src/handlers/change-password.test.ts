import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, reasonOf, startAuthBench } from "../auth-bench.contract.ts";
import { asNobody, auditedAbout, createUser, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const newPassword = "another horse entirely";

describe("ChangePassword", () => {
  it("sets the new password, ends every session and gives a new one", async () => {
    const { login, session } = await createUser(bench);
    const fresh = sessionIn(await asNobody(bench).changePassword({ login, password, newPassword }));
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(bench.module.trust.isSessionEnded(fresh.sessionId)).toBe(false);
    expect(await reasonOf(asNobody(bench).login({ login, password }))).toBe("LOGIN_FAILED");
    expect(await reasonOf(asNobody(bench).login({ login, password: newPassword }))).toBe("OK");
    expect(await auditedAbout(bench, session.user?.userId ?? "")).toContain("password.changed");
  });

  it("gives one of two at the same moment the account", async () => {
    const { login } = await createUser(bench);
    const change = (to: string) => reasonOf(asNobody(bench).changePassword({ login, password, newPassword: to }));
    const reasons = await Promise.all([change("the first new password"), change("the second new password")]);
    expect(reasons.sort()).toEqual(["LOGIN_FAILED", "OK"]);
  });

  it.each([
    ["a wrong password", "wrong password", newPassword, "LOGIN_FAILED"],
    ["a new password that is too short", password, "short", "PASSWORD_UNACCEPTABLE"],
  ])("refuses %s and leaves all as it is", async (_, given, chosen, reason) => {
    const { login, session } = await createUser(bench);
    expect(await reasonOf(asNobody(bench).changePassword({ login, password: given, newPassword: chosen }))).toBe(
      reason,
    );
    expect(await reasonOf(asNobody(bench).login({ login, password }))).toBe("OK");
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(false);
  });
});
