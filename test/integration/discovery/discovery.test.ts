import { readFile } from "node:fs/promises";
import { AuthService } from "@sandgate/api/auth";
import { type Channel, createClient } from "@sandgate/rpc";
import { calculateJwkThumbprint, decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { organizations, startSuite, type TestSuite, topologies, trustDomain } from "../suite/start-suite.ts";
import { connect, createTestSandbox, type TestSandbox } from "../suite/test-sandbox.ts";
import { fetchJson, type RelyingParty, verifyByDiscovery } from "./relying-party.ts";

const issuer = `https://auth.${trustDomain}`;

describe.each(topologies)("a relying party that knows our issuer and our CA alone, %s", (topology) => {
  let suite: TestSuite;
  let sandbox: TestSandbox;
  let egressToken: string;
  let party: RelyingParty;

  const asOperator = async (service: "auth" | "sandbox"): Promise<Channel> =>
    connect(suite, service, suite.address(service, "mtls"), {
      certificatePem: await readFile(suite.pki.operator.certificateFile, "utf8"),
      keyPem: await readFile(suite.pki.operator.keyFile, "utf8"),
    });

  beforeAll(async () => {
    suite = await startSuite(topology);
    party = { issuer, audience: "egress-proxy", ca: suite.serviceCa, issuerAddress: suite.jwksAddress };
    const operator = await asOperator("sandbox");
    sandbox = await createTestSandbox(suite, operator, "vouched-for");
    operator.close();
    const supervisor = connect(suite, "auth", suite.socket("auth", sandbox.id, "control"), sandbox);
    const issued = await createClient(AuthService, supervisor).issueEgressToken(
      { sandboxId: sandbox.id },
      { headers: { authorization: `Bearer ${sandbox.token}` } },
    );
    supervisor.close();
    egressToken = issued.token;
  });
  afterAll(() => suite.stop());

  it("D-01, S0-03 verifies an egress token by the discovery document and the key set", async () => {
    expect(await verifyByDiscovery(egressToken, party)).toMatchObject({
      iss: issuer,
      aud: "egress-proxy",
      sub: `spiffe://${trustDomain}/sandbox/${sandbox.id}`,
      container_id: sandbox.id,
      organization_uuid: organizations.own,
      enforce_container_binding: "true",
    });
  });

  it("S0-01, D-03 finds P-256 keys whose id is their thumbprint, and the token names one of them", async () => {
    const { keys } = (await fetchJson(`${issuer}/.well-known/jwks.json`, party)) as { keys: Record<string, string>[] };
    const signing = keys.filter(({ kty }) => kty === "EC");
    expect(keys.length).toBeGreaterThanOrEqual(2);
    const header = decodeProtectedHeader(egressToken);
    expect(header).toEqual({ typ: "JWT", alg: "ES256", kid: expect.anything() });
    expect(signing.map(({ kid }) => kid)).toContain(header.kid);
    for (const key of signing) {
      expect(key).toMatchObject({
        crv: "P-256",
        use: "sig",
        x: expect.stringMatching(/^[\w-]{43}$/),
        y: expect.stringMatching(/^[\w-]{43}$/),
        kid: await calculateJwkThumbprint(key),
      });
      expect(key).not.toHaveProperty("d");
    }
  });

  it.each([
    ["of another audience", () => egressToken, { audience: "somebody-else" }, 'unexpected "aud" claim value'],
    ["whose claims were changed", () => withClaim(egressToken, "container_id", "other"), {}, "signature verification"],
    ["for the suite itself", () => sandbox.token, {}, '"alg"'],
  ])("refuses a token %s", async (_what, token, over, fault) => {
    await expect(verifyByDiscovery(token(), { ...party, ...over })).rejects.toThrow(fault);
  });

  it("refuses a user token, which is not for relying parties", async () => {
    const operator = await asOperator("auth");
    const { token } = await createClient(AuthService, operator).createUserToken({});
    operator.close();
    expect(token).not.toBe("");
    await expect(verifyByDiscovery(token, party)).rejects.toThrow('"alg"');
  });

  it.each([
    ["does not trust the service authority", "operatorAuthority"],
    ["trusts sandboxes' authority alone", "sandboxAuthority"],
  ] as const)("fetches nothing where it %s", async (_what, authority) => {
    const ca = await readFile(suite.pki[authority].certificateFile, "utf8");
    await expect(verifyByDiscovery(egressToken, { ...party, ca })).rejects.toMatchObject({
      code: expect.stringMatching(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/),
    });
  });

  it("fetches nothing from a server that does not carry the issuer's name", async () => {
    await expect(fetchJson("https://auth.elsewhere.test/.well-known/jwks.json", party)).rejects.toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
  });
});

function withClaim(token: string, name: string, value: string): string {
  const [header, payload = "", signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  return [header, Buffer.from(JSON.stringify({ ...claims, [name]: value })).toString("base64url"), signature].join(".");
}
