import { RevocationKind } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { OidcClaims } from "@sandgate/identity";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, operatorId, organizationId, reasonOf, start, startAuthBench } from "../auth-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const otherOrganizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c22";
let count = 0;

/** A token of a new user, or one that says something else of the user of an earlier one. */
const token = (over: Partial<OidcClaims> = {}) => {
  count += 1;
  const text = `token-${count}`;
  bench.oidcTokens.set(text, {
    userId: crypto.randomUUID(),
    issuer: "https://id.example",
    subject: `subject-${count}`,
    name: "Grace",
    organizationId,
    organizationName: "Example",
    role: Role.VIEWER,
    issuedAtMs: start,
    expiresAtMs: start + 300_000,
    ...over,
  });
  return text;
};
const newer = (text: string, over: Partial<OidcClaims>) => token({ ...bench.oidcTokens.get(text), ...over });
const register = async (text: string) => (await bench.sandboxService.registerOidcUser({ token: text })).subject;
const actionsAbout = async (userId: string) => {
  const { rows } = await bench.database
    .createPool("auth")
    .query<{ action: string }>("select action from audit_events where details->>'user_id' = $1 order by sequence", [
      userId,
    ]);
  return rows.map(({ action }) => action);
};

describe("G-04: RegisterOidcUser", () => {
  it("enters a user once, who is then found like every other", async () => {
    const first = token();
    const subject = await register(first);
    expect(subject).toMatchObject({ name: "Grace", organizationId, role: Role.VIEWER, active: true });
    const userId = subject?.userId ?? "";
    expect((await bench.sandboxService.resolveUser({ userId })).subject).toEqual(subject);
    await register(newer(first, { issuedAtMs: start + 1000 }));
    expect(await actionsAbout(userId)).toEqual(["user.registered"]);
  });

  it("enters one user for ten calls at once", async () => {
    const first = token();
    const subjects = await Promise.all(Array.from({ length: 10 }, () => register(first)));
    expect(new Set(subjects.map((subject) => subject?.userId)).size).toBe(1);
    expect(await actionsAbout(subjects[0]?.userId ?? "")).toEqual(["user.registered"]);
  });

  it.each([
    ["role", { role: Role.OPERATOR }],
    ["organization", { organizationId: otherOrganizationId, organizationName: undefined }],
  ])("takes over another %s from a newer token, and revokes what is older than that", async (_, change) => {
    const first = token();
    const userId = (await register(first))?.userId ?? "";
    const second = newer(first, { ...change, issuedAtMs: start + 1000 });
    expect(await register(second)).toMatchObject(
      "role" in change ? { role: change.role } : { organizationId: change.organizationId },
    );
    expect(bench.module.trust.isUserSessionRevoked(userId, start)).toBe(true);
    expect(bench.module.trust.isUserSessionRevoked(userId, start + 1000)).toBe(false);
    expect(await actionsAbout(userId)).toEqual(["user.registered", "user.changed"]);
  });

  it("refuses what an older token says: two tokens never take turns", async () => {
    const first = token({ role: Role.ADMIN });
    await register(first);
    await register(newer(first, { role: Role.VIEWER, issuedAtMs: start + 1000 }));
    expect(await reasonOf(register(first))).toBe("CREDENTIAL_REVOKED");
    expect(await reasonOf(register(newer(first, { role: Role.OPERATOR, issuedAtMs: start + 1000 })))).toBe(
      "CREDENTIAL_REVOKED",
    );
  });

  it("leaves the newest of many that come at once", async () => {
    const first = token();
    const userId = (await register(first))?.userId ?? "";
    const tokens = Array.from({ length: 10 }, (_, index) =>
      newer(first, { role: index % 2 === 0 ? Role.ADMIN : Role.OPERATOR, issuedAtMs: start + (index + 1) * 1000 }),
    );
    await Promise.allSettled(tokens.map(register));
    expect(await register(tokens.at(-1) ?? "")).toMatchObject({ role: Role.OPERATOR });
    expect(await reasonOf(register(tokens[0] ?? ""))).toBe("CREDENTIAL_REVOKED");
    expect(bench.module.trust.isUserSessionRevoked(userId, start + 9_999)).toBe(true);
  });

  it("does not switch a user on again", async () => {
    const first = token();
    const userId = (await register(first))?.userId ?? "";
    await bench.database.createPool("auth").query("update users set active = false where id = $1", [userId]);
    expect(await register(newer(first, { role: Role.ADMIN, issuedAtMs: start + 1000 }))).toMatchObject({
      active: false,
    });
  });

  it("does not take a user of the configuration for one of a provider", async () => {
    expect(await reasonOf(register(token({ userId: operatorId, role: Role.ADMIN })))).toBe("CREDENTIAL_REJECTED");
  });

  it("refuses a token of no provider", async () => {
    expect(await reasonOf(register("unknown"))).toBe("CREDENTIAL_REJECTED");
  });

  it("names the organization of a fixed one, and leaves the name that is there", async () => {
    await register(token({ organizationName: "Impostor" }));
    const { rows } = await bench.database
      .createPool("auth")
      .query<{ name: string }>("select name from organizations where id = $1", [organizationId]);
    expect(rows).toEqual([{ name: "Example" }]);
  });

  it("G-15 tells everyone that a user has changed", async () => {
    const first = token();
    const userId = (await register(first))?.userId ?? "";
    await register(newer(first, { role: Role.ADMIN, issuedAtMs: start + 1000 }));
    const { rows } = await bench.database
      .createPool("auth")
      .query("select kind, revocation_kind from trust_events where subject = $1 order by sequence", [userId]);
    expect(rows).toEqual([
      { kind: "user", revocation_kind: 0 },
      { kind: "revocation", revocation_kind: RevocationKind.USER },
      { kind: "user", revocation_kind: 0 },
    ]);
  });
});
