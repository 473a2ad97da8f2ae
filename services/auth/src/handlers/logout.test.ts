import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, reasonOf, startAuthBench } from "../auth-bench.contract.ts";
import { asNobody, createUser, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const logout = (refreshToken: string, everywhere = false) => asNobody(bench).logout({ refreshToken, everywhere });
const refresh = (refreshToken: string) =>
  asNobody(bench).refreshUserSession({ refreshToken, requestId: crypto.randomUUID() });

describe("Logout", () => {
  it("ends the session and no other; repeating it changes nothing", async () => {
    const { login, session } = await createUser(bench);
    const other = sessionIn(await asNobody(bench).login({ login, password }));
    await logout(session.refreshToken);
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(bench.module.trust.isSessionEnded(other.sessionId)).toBe(false);
    expect(await reasonOf(logout(session.refreshToken))).toBe("OK");
    expect(await reasonOf(refresh(session.refreshToken))).toBe("CREDENTIAL_REVOKED");
    expect(await reasonOf(refresh(other.refreshToken))).toBe("OK");
  });

  it("ends every session of the user, and nobody else's", async () => {
    const { login, session } = await createUser(bench);
    const { session: bystander } = await createUser(bench);
    const other = sessionIn(await asNobody(bench).login({ login, password }));
    await logout(session.refreshToken, true);
    for (const { sessionId } of [session, other]) expect(bench.module.trust.isSessionEnded(sessionId)).toBe(true);
    expect(bench.module.trust.isSessionEnded(bystander.sessionId)).toBe(false);
  });

  it("lets who holds a token of the past end that session alone", async () => {
    const { login, session } = await createUser(bench);
    const other = sessionIn(await asNobody(bench).login({ login, password }));
    await refresh(session.refreshToken);
    await logout(session.refreshToken, true);
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(bench.module.trust.isSessionEnded(other.sessionId)).toBe(false);
  });

  it("refuses what is no refresh token", async () => {
    expect(await reasonOf(logout("sgr_nothing"))).toBe("CREDENTIAL_REJECTED");
  });
});
