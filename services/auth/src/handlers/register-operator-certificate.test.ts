import { X509Certificate } from "node:crypto";
import type { AuthService, RevokeOperatorCertificatesRequest } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { createKeyPair } from "@sandgate/pki";
import type { CertificateAuthority } from "@sandgate/pki/authority";
import type { Client } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthBench, adminId, reasonOf, startAuthBench, trustDomain } from "../auth-bench.contract.ts";
import { admin, asAdmin, auditedAbout } from "../user-bench.contract.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
afterAll(() => bench.stop());

const hourMs = 3_600_000;
const issue = async (over: { userId?: string; domain?: string; authority?: CertificateAuthority } = {}) => {
  const { now } = bench.clock;
  const leaf = await (over.authority ?? bench.operatorAuthority).issueOperatorCertificate({
    trustDomain: over.domain ?? trustDomain,
    userId: over.userId ?? crypto.randomUUID(),
    publicKey: createKeyPair().publicKey,
    notAfter: now + hourMs,
    now,
  });
  return { certificate: leaf.der, serial: new X509Certificate(leaf.der).serialNumber.toLowerCase() };
};
const elsewhere = (): Client<typeof AuthService> =>
  bench.as({ principal: { ...admin, organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c99" } });

describe("RegisterOperatorCertificate", () => {
  it("enters the user whom the certificate names, once, with an audit record", async () => {
    const userId = crypto.randomUUID();
    const { certificate, serial } = await issue({ userId });
    const request = { certificate, name: "ci", role: Role.OPERATOR };
    const entered = await asAdmin(bench).registerOperatorCertificate(request);
    expect(entered.certificate).toMatchObject({ userId, serial, name: "ci", role: Role.OPERATOR });
    expect((await asAdmin(bench).registerOperatorCertificate(request)).certificate).toEqual(entered.certificate);
    const { users } = await asAdmin(bench).listUsers({});
    expect(users.find((user) => user.userId === userId)).toMatchObject({ role: Role.OPERATOR, active: true });
    expect(await auditedAbout(bench, userId)).toEqual(["operator_certificate.entered"]);
  });

  it("takes a further certificate of the same user, under the same name and role alone", async () => {
    const userId = crypto.randomUUID();
    const enter = async (name: string, role: Role, of = userId) =>
      reasonOf(asAdmin(bench).registerOperatorCertificate({ ...(await issue({ userId: of })), name, role }));
    expect(await enter("deploy", Role.VIEWER)).toBe("OK");
    expect(await enter("deploy", Role.VIEWER)).toBe("OK");
    expect(await enter("deploy", Role.ADMIN)).toBe("OPERATOR_NAME_TAKEN");
    expect(await enter("other", Role.VIEWER)).toBe("OPERATOR_NAME_TAKEN");
    expect(await enter("deploy", Role.VIEWER, crypto.randomUUID())).toBe("OPERATOR_NAME_TAKEN");
  });

  it("makes nobody of who is somebody already: a user of the configuration, of another organization, a disabled one", async () => {
    const enter = async (userId: string, client = asAdmin(bench), name = "impostor") =>
      reasonOf(client.registerOperatorCertificate({ ...(await issue({ userId })), name, role: Role.ADMIN }));
    expect(await enter(adminId)).toBe("OPERATOR_NAME_TAKEN");
    const own = crypto.randomUUID();
    expect(await enter(own, asAdmin(bench), "own")).toBe("OK");
    expect(await enter(own, elsewhere(), "own")).toBe("OPERATOR_NAME_TAKEN");
    await asAdmin(bench).disableUser({ user: own });
    expect(await enter(own, asAdmin(bench), "own")).toBe("OPERATOR_NAME_TAKEN");
  });

  it("takes nothing that the operator authority has not issued for a user of this trust domain", async () => {
    const enter = async (certificate: Uint8Array) =>
      reasonOf(asAdmin(bench).registerOperatorCertificate({ certificate, name: "foreign", role: Role.VIEWER }));
    expect(await enter((await issue({ authority: bench.authority })).certificate)).toBe(
      "OPERATOR_CERTIFICATE_REJECTED",
    );
    expect(await enter((await issue({ domain: "other.test" })).certificate)).toBe("OPERATOR_CERTIFICATE_REJECTED");
    expect(await enter(new Uint8Array([1, 2, 3]))).toBe("OPERATOR_CERTIFICATE_REJECTED");
    const { certificate } = await issue();
    bench.clock.now += 2 * hourMs;
    expect(await enter(certificate)).toBe("OPERATOR_CERTIFICATE_REJECTED");
  });

  it.each(["", "Upper", "a b", "0".repeat(32), `a${"b".repeat(63)}`, "abcdef0123456789abcdef0123456789"])(
    "refuses the name %j",
    async (name) => {
      const request = { ...(await issue()), name, role: Role.VIEWER };
      expect(await reasonOf(asAdmin(bench).registerOperatorCertificate(request))).toBe("REQUEST_INVALID");
    },
  );
});

describe("RevokeOperatorCertificates", () => {
  const enter = async (name: string) => {
    const userId = crypto.randomUUID();
    const all = [await issue({ userId }), await issue({ userId })];
    for (const { certificate } of all)
      await asAdmin(bench).registerOperatorCertificate({ certificate, name, role: Role.VIEWER });
    return { userId, all };
  };
  const revoked = async (name: string) => {
    const { certificates } = await asAdmin(bench).listOperatorCertificates({});
    return certificates.filter((one) => one.name === name && one.revokeTime !== undefined).map(({ serial }) => serial);
  };

  it("G-15 revokes one by its serial number and all by the name; the trust stream tells it, the audit log keeps it", async () => {
    const { userId, all } = await enter("stolen");
    const serial = all[0]?.serial ?? "";
    await asAdmin(bench).revokeOperatorCertificates({ target: { case: "serial", value: serial.toUpperCase() } });
    expect(await revoked("stolen")).toEqual([serial]);
    const { certificates } = await asAdmin(bench).revokeOperatorCertificates({
      target: { case: "name", value: "stolen" },
      reason: "lost laptop",
    });
    for (const { sha256 } of certificates) expect(bench.module.trust.isCertificateRevoked(sha256)).toBe(true);
    expect(await revoked("stolen")).toHaveLength(2);
    expect((await auditedAbout(bench, userId)).filter((action) => action.endsWith("revoked"))).toHaveLength(2);
    await asAdmin(bench).revokeOperatorCertificates({ target: { case: "name", value: "stolen" } });
    expect((await auditedAbout(bench, userId)).filter((action) => action.endsWith("revoked"))).toHaveLength(2);
  });

  it("G-15 revokes a certificate that was never entered, when it is shown", async () => {
    const { certificate, serial } = await issue({ userId: adminId });
    const answer = await asAdmin(bench).revokeOperatorCertificates({
      target: { case: "certificate", value: certificate },
    });
    expect(answer.certificates).toMatchObject([{ serial, userId: adminId }]);
    expect(bench.module.trust.isCertificateRevoked(answer.certificates[0]?.sha256 ?? "")).toBe(true);
  });

  it("G-25 knows only those of the caller's organization", async () => {
    const { all } = await enter("mine");
    const ask = (target: RevokeOperatorCertificatesRequest["target"]) =>
      reasonOf(elsewhere().revokeOperatorCertificates({ target }));
    expect(await ask({ case: "name", value: "mine" })).toBe("OPERATOR_CERTIFICATE_NOT_FOUND");
    expect(await ask({ case: "serial", value: all[0]?.serial ?? "" })).toBe("OPERATOR_CERTIFICATE_NOT_FOUND");
    const value = all[0]?.certificate ?? new Uint8Array();
    expect(await ask({ case: "certificate", value })).toBe("OPERATOR_CERTIFICATE_NOT_FOUND");
    expect((await elsewhere().listOperatorCertificates({})).certificates).toEqual([]);
    expect(await revoked("mine")).toEqual([]);
  });

  it("refuses a request that names nothing", async () => {
    expect(await reasonOf(asAdmin(bench).revokeOperatorCertificates({}))).toBe("REQUEST_INVALID");
  });
});
