import { Role } from "@sandgate/api/options";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, organizationId, reasonOf, startAuthBench } from "../auth-bench.contract.ts";
import { admin, asAdmin, asNobody, asUser, createUser, newLogin, password, sessionIn } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

describe("CreateOrganization", () => {
  it("makes an organization whose first administrator is whoever accepts", async () => {
    const adminLogin = newLogin();
    const created = await asAdmin(bench).createOrganization({ name: "Second", adminLogin });
    const session = sessionIn(await asNobody(bench).acceptInvitation({ token: created.token, password }));
    expect(session.user).toMatchObject({ organizationId: created.organizationId, role: Role.ADMIN });
    expect(created.organizationId).not.toBe(organizationId);
  });

  it("is not for administrators of an organization, however they come", async () => {
    const { session } = await createUser(bench, Role.ADMIN);
    const request = { name: "Third", adminLogin: newLogin() };
    expect(await reasonOf(asUser(bench, session).createOrganization(request))).toBe("PRINCIPAL_NOT_ALLOWED");
    const byCertificate = { ...admin, userId: session.user?.userId ?? "" };
    expect(await reasonOf(bench.as({ principal: byCertificate }).createOrganization(request))).toBe(
      "PRINCIPAL_NOT_ALLOWED",
    );
  });

  it.each([
    ["no name", { name: "", adminLogin: "x@example.test" }],
    ["a name with a line break", { name: "a\nb", adminLogin: "x@example.test" }],
    ["no administrator", { name: "Fourth", adminLogin: "" }],
  ])("refuses %s", async (_, request) => {
    expect(await reasonOf(asAdmin(bench).createOrganization(request))).toBe("REQUEST_INVALID");
  });
});

describe("SignUp", () => {
  it("makes an account and its organization", async () => {
    const login = newLogin();
    const session = sessionIn(await asNobody(bench).signUp({ login, password, organizationName: "Own" }));
    expect(session).toMatchObject({ login, user: { role: Role.ADMIN } });
    expect(session.user?.organizationId).not.toBe(organizationId);
  });

  it("leaves nothing behind when the login name is taken", async () => {
    const { login } = await createUser(bench);
    const count = async () => {
      const { rows } = await bench.database
        .createPool("auth")
        .query<{ count: bigint }>("select count(*) as count from organizations");
      return rows[0]?.count;
    };
    const before = await count();
    const refused = asNobody(bench).signUp({ login, password, organizationName: "Taken" });
    expect(await reasonOf(refused)).toBe("LOGIN_TAKEN");
    expect(await count()).toBe(before);
  });
});
