import type { UserSession } from "@sandgate/api/auth";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuthBench, claimsOf, reasonOf, start, startAuthBench } from "../auth-bench.contract.ts";
import { asAdmin, asNobody, auditedAbout, createUser, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
let replica: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
  replica = await bench.startReplica();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const refresh = async (session: UserSession, requestId: string = crypto.randomUUID(), at = bench) =>
  sessionIn(await asNobody(at).refreshUserSession({ refreshToken: session.refreshToken, requestId }));
const userIdOf = (session: UserSession) => session.user?.userId ?? "";

describe("RefreshUserSession", () => {
  it("gives the next tokens of the same session, and takes each refresh token once", async () => {
    const { session } = await createUser(bench);
    bench.clock.now += 600_000;
    const second = await refresh(session);
    const third = await refresh(second);
    expect(third.sessionId).toBe(session.sessionId);
    expect(third.expireTime).toEqual(session.expireTime);
    expect(claimsOf(second.accessToken)).toMatchObject({ sid: session.sessionId, iat: start / 1000 + 600 });
    expect(new Set([session, second, third].map(({ refreshToken }) => refreshToken)).size).toBe(3);
  });

  it("ends the session for both when a token comes back in another request, and records it", async () => {
    const { session } = await createUser(bench);
    const second = await refresh(session);
    expect(await reasonOf(refresh(session))).toBe("REFRESH_TOKEN_REUSED");
    expect(bench.module.trust.isSessionEnded(session.sessionId)).toBe(true);
    expect(await reasonOf(refresh(second))).toBe("CREDENTIAL_REVOKED");
    expect(await auditedAbout(bench, userIdOf(session))).toEqual([
      "user.joined",
      "user.logged_in",
      "session.refreshed",
      "session.reuse_detected",
    ]);
  });

  it("ends the session at every replica", async () => {
    const { session } = await createUser(bench);
    await refresh(session);
    const isTold = new Promise<void>((resolve) => {
      const stop = replica.module.trust.onChange(() => {
        if (!replica.module.trust.isSessionEnded(session.sessionId)) return;
        stop();
        resolve();
      });
    });
    await reasonOf(refresh(session));
    await isTold;
  });

  it("lets the same request be repeated when its answer was lost, however late and at any replica", async () => {
    const { session } = await createUser(bench);
    const requestId = crypto.randomUUID();
    await refresh(session, requestId);
    bench.clock.now += 3_600_000;
    const again = await refresh(session, requestId, replica);
    expect(await reasonOf(refresh(again))).toBe("OK");
  });

  it("finds out who took the lost answer: what a repetition has replaced is good for nobody", async () => {
    const { session } = await createUser(bench);
    const requestId = crypto.randomUUID();
    const taken = await refresh(session, requestId);
    const again = await refresh(session, requestId);
    expect(await reasonOf(refresh(taken))).toBe("REFRESH_TOKEN_REUSED");
    expect(await reasonOf(refresh(again))).toBe("CREDENTIAL_REVOKED");
  });

  it("takes no repetition once the successor was used", async () => {
    const { session } = await createUser(bench);
    const requestId = crypto.randomUUID();
    await refresh(await refresh(session, requestId));
    expect(await reasonOf(refresh(session, requestId))).toBe("REFRESH_TOKEN_REUSED");
  });

  it("gives one of two at the same moment the session and ends it for the other", async () => {
    const { session } = await createUser(bench);
    const reasons = await Promise.all([reasonOf(refresh(session)), reasonOf(refresh(session, undefined, replica))]);
    expect(reasons.sort()).toEqual(["OK", "REFRESH_TOKEN_REUSED"]);
  });

  it("refuses a session that is over its time", async () => {
    const { session } = await createUser(bench);
    bench.clock.now += 7 * 86_400_000;
    expect(await reasonOf(refresh(session))).toBe("CREDENTIAL_EXPIRED");
  });

  it("refuses the session of a user who was disabled, and after that user is enabled again", async () => {
    const { login, session } = await createUser(bench);
    await asAdmin(bench).disableUser({ user: login });
    expect(await reasonOf(refresh(session))).toBe("CREDENTIAL_REVOKED");
    await asAdmin(bench).enableUser({ user: login });
    expect(await reasonOf(refresh(session))).toBe("CREDENTIAL_REVOKED");
  });

  it.each([
    ["no token", "", "CREDENTIAL_REJECTED"],
    ["a token that was never given", "sgr_0000000000000000000000000000000000000000000000000", "CREDENTIAL_REJECTED"],
  ])("refuses %s", async (_, refreshToken, reason) => {
    const request = { refreshToken, requestId: crypto.randomUUID() };
    expect(await reasonOf(asNobody(bench).refreshUserSession(request))).toBe(reason);
  });

  it("refuses a request without an id of its own, and changes nothing", async () => {
    const { session } = await createUser(bench);
    for (const requestId of ["", "1", "00000000-0000-0000-0000-000000000000"])
      expect(await reasonOf(refresh(session, requestId))).toBe("REQUEST_INVALID");
    expect(await reasonOf(refresh(session))).toBe("OK");
  });
});
