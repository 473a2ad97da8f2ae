import { createHmac, generateKeyPairSync } from "node:crypto";
import { Role } from "@sandgate/api/options";
import { SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OidcProvider } from "./oidc-provider.ts";
import type { OidcProviderSettings } from "./oidc-settings.ts";
import { oidcUserId } from "./oidc-user-id.ts";
import { type ProviderDouble, startProviderDouble } from "./provider-double.fixture.ts";

const organizationId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
const hour = 3_600_000;

const attacker = generateKeyPairSync("rsa", { modulusLength: 2048 });

let now: number;
let double: ProviderDouble;
let started: OidcProvider[];
let faults: string[];

beforeEach(async () => {
  now = Date.parse("2026-03-01T12:00:00Z");
  faults = [];
  started = [];
  double = await startProviderDouble({ clock: () => now });
});
afterEach(async () => {
  await Promise.all(started.map((provider) => provider.stop()));
  await double.stop();
});

const start = (over: Partial<OidcProviderSettings> = {}) => {
  const provider = new OidcProvider({
    settings: {
      name: "example",
      issuer: double.issuer,
      audiences: ["sandgate"],
      algorithms: ["RS256"],
      organization: { id: organizationId, name: "Example" },
      roles: { claim: "realm_access.roles", admin: ["boss"], operator: ["dev", "ops"] },
      required_scopes: [],
      ...over,
    },
    clock: () => now,
    onFault: (fault) => faults.push(fault instanceof Error ? fault.message : "?"),
  });
  provider.start();
  started.push(provider);
  return provider;
};

/** "verified", "not_ours", "unavailable", or why it was rejected. */
const outcomeOf = async (provider: OidcProvider, token: string) => {
  const verification = await provider.verify(token);
  return verification.outcome === "rejected" ? verification.fault : verification.outcome;
};
const claimsOf = async (provider: OidcProvider, claims: Record<string, unknown>) => {
  const verification = await provider.verify(await double.token(claims));
  return verification.outcome === "verified" ? verification.claims : verification;
};
const seconds = () => Math.floor(now / 1000);

describe("G-04: a provider's token", () => {
  it("says who the user is", async () => {
    expect(await claimsOf(start(), { preferred_username: "ada@example.com" })).toEqual({
      userId: oidcUserId(double.issuer, "ada"),
      issuer: double.issuer,
      subject: "ada",
      name: "ada@example.com",
      organizationId,
      organizationName: "Example",
      role: Role.VIEWER,
      issuedAtMs: now,
      expiresAtMs: now + 300_000,
    });
  });

  it.each(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] as const)(
    "signed with %s is taken where that is configured, and nowhere else",
    async (algorithm) => {
      double.addKey("k", algorithm);
      const token = await double.token({}, { kid: "k", alg: algorithm });
      expect(await outcomeOf(start({ algorithms: [algorithm] }), token)).toBe("verified");
      const other = algorithm === "RS256" ? "PS256" : "RS256";
      double.addKey("other", other);
      expect(await outcomeOf(start({ algorithms: [other] }), token)).toBe("algorithm");
    },
  );

  it("of another issuer, or no JWT, is somebody else's", async () => {
    const provider = start();
    expect(await outcomeOf(provider, await double.token({ iss: `${double.issuer}/` }))).toBe("not_ours");
    expect(await outcomeOf(provider, "opaque")).toBe("not_ours");
    expect(await outcomeOf(provider, "a.b.c")).toBe("not_ours");
    expect(await outcomeOf(provider, await double.token({ filler: "x".repeat(8192) }))).toBe("not_ours");
  });

  it.each([
    ["audience", { aud: "other" }],
    ["audience", { aud: ["other", 7] }],
    ["audience", { aud: undefined }],
    ["verified", { aud: ["other", "sandgate"] }],
    ["malformed", { exp: undefined }],
    ["malformed", { iat: undefined }],
    ["malformed", { exp: "2099" }],
    ["malformed", { exp: -1 }],
    ["malformed", { nbf: "now" }],
    ["bound", { cnf: { jkt: "k" } }],
    ["subject", { sub: undefined }],
    ["subject", { sub: "" }],
    ["subject", { sub: 7 }],
    ["subject", { sub: "x".repeat(256) }],
    ["subject", { sub: "a\nb" }],
  ])("is %s with %j", async (outcome, claims) => {
    expect(await outcomeOf(start(), await double.token(claims))).toBe(outcome);
  });

  it.each([
    ["expired", { iat: -300, exp: -5 }],
    ["verified", { iat: -300, exp: -4 }],
    ["verified", { iat: 5, exp: 300 }],
    ["not_yet_valid", { iat: 6, exp: 300 }],
    ["not_yet_valid", { iat: 0, nbf: 6, exp: 300 }],
    ["verified", { iat: 0, nbf: 5, exp: 300 }],
    ["life", { iat: 0, exp: 86_401 }],
    ["verified", { iat: 0, exp: 86_400 }],
    ["life", { iat: 3, exp: 2 }],
  ])("is %s at %j seconds from now: clocks may differ by 5", async (outcome, times) => {
    const claims = Object.fromEntries(Object.entries(times).map(([claim, offset]) => [claim, seconds() + offset]));
    expect(await outcomeOf(start(), await double.token(claims))).toBe(outcome);
  });

  it("expires although it was verified before", async () => {
    const provider = start();
    const token = await double.token();
    expect(await outcomeOf(provider, token)).toBe("verified");
    now += 304_999;
    expect(await outcomeOf(provider, token)).toBe("verified");
    now += 1;
    expect(await outcomeOf(provider, token)).toBe("expired");
  });

  it.each([
    ["verified", { typ: "JWT" }],
    ["verified", { typ: "at+jwt" }],
    ["verified", { typ: "application/at+jwt" }],
    ["header", { typ: "logout+jwt" }],
    ["header", { typ: "secevent+jwt" }],
    ["header", { typ: "dpop+jwt" }],
  ])("is %s with the header %j", async (outcome, header) => {
    expect(await outcomeOf(start(), await double.token({}, header))).toBe(outcome);
  });

  it("never brings its own key", async () => {
    const jwk = attacker.publicKey.export({ format: "jwk" });
    for (const header of [
      { kid: "rsa", jwk },
      { kid: "rsa", jku: "http://127.0.0.1:1/jwks" },
      { kid: "rsa", x5u: "http://127.0.0.1:1/x5u" },
      { kid: "rsa", x5c: ["AA"] },
    ]) {
      const token = await new SignJWT({ iss: double.issuer, aud: "sandgate", sub: "ada" })
        .setProtectedHeader({ alg: "RS256", ...header })
        .setIssuedAt(seconds())
        .setExpirationTime(seconds() + 300)
        .sign(attacker.privateKey);
      expect(await outcomeOf(start(), token)).toBe("signature");
    }
  });

  it.each([
    ["header", { alg: "RS256" }],
    ["header", { alg: "RS256", kid: 7 }],
    ["header", { alg: "RS256", kid: "rsa", crit: ["exp"], exp: 1 }],
    ["header", { alg: "RS256", kid: "rsa", crit: ["b64"], b64: false }],
    ["algorithm", { alg: "none", kid: "rsa" }],
    ["algorithm", { alg: "HS256", kid: "rsa" }],
    ["algorithm", { alg: "rs256", kid: "rsa" }],
    ["algorithm", { alg: ["RS256"], kid: "rsa" }],
    ["signature", { alg: "RS256", kid: "rsa" }],
    ["key", { alg: "RS256", kid: "rsa2" }],
    ["key", { alg: "RS256", kid: "__proto__" }],
  ])("is refused for its %s with the forged header %j", async (outcome, header) => {
    const payload = { iss: double.issuer, aud: "sandgate", sub: "ada", iat: seconds(), exp: seconds() + 300 };
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const signed = `${encode(header)}.${encode(payload)}`;
    const forged = `${signed}.${createHmac("sha256", "public key").update(signed).digest("base64url")}`;
    expect(await outcomeOf(start(), forged)).toBe(outcome);
  });

  it("signed by another key of the set is refused", async () => {
    const other = double.addKey("other", "RS256");
    const token = await new SignJWT({ iss: double.issuer, aud: "sandgate", sub: "ada" })
      .setProtectedHeader({ alg: "RS256", kid: "rsa" })
      .setIssuedAt(seconds())
      .setExpirationTime(seconds() + 300)
      .sign(other);
    expect(await outcomeOf(start(), token)).toBe("signature");
  });
});

describe("G-04: roles, scopes and organization", () => {
  it.each([
    [Role.VIEWER, {}],
    [Role.VIEWER, { realm_access: { roles: [] } }],
    [Role.VIEWER, { realm_access: { roles: ["admin", "ADMIN", "Boss", "boss "] } }],
    [Role.VIEWER, { roles: ["boss"], "realm_access.roles": ["boss"] }],
    [Role.VIEWER, { realm_access: { roles: { boss: true } } }],
    [Role.VIEWER, { realm_access: { roles: "boss dev" } }],
    [Role.OPERATOR, { realm_access: { roles: ["x", "ops"] } }],
    [Role.OPERATOR, { realm_access: { roles: "dev" } }],
    [Role.ADMIN, { realm_access: { roles: ["dev", "boss"] } }],
  ])("role %i with %j: to be authenticated is no role", async (role, claims) => {
    expect(await claimsOf(start(), claims)).toMatchObject({ role });
  });

  it.each([
    ["verified", { scope: "openid sandgate" }],
    ["verified", { scp: ["sandgate"] }],
    ["verified", { scp: "sandgate" }],
    ["scope", { scope: "openid sandgates" }],
    ["scope", { scope: ["x"] }],
    ["scope", {}],
  ])("%s with the scopes %j where one is required", async (outcome, claims) => {
    expect(await outcomeOf(start({ required_scopes: ["sandgate"] }), await double.token(claims))).toBe(outcome);
  });

  it.each([
    [organizationId, { tenant: { id: organizationId } }],
    [organizationId, { tenant: { id: organizationId.toUpperCase() } }],
    [undefined, { tenant: { id: `${organizationId} ` } }],
    [undefined, { tenant: { id: [organizationId] } }],
    [undefined, { tenant: "x" }],
    [undefined, {}],
  ])("organization %s with %j where a claim says it", async (id, claims) => {
    const provider = start({ organization: { claim: "tenant.id" } });
    if (id === undefined) expect(await outcomeOf(provider, await double.token(claims))).toBe("organization");
    else expect(await claimsOf(provider, claims)).toMatchObject({ organizationId: id, organizationName: undefined });
  });

  it.each([
    ["ada@example.com", { email: "ada@example.com", name: "Ada" }],
    ["Ada", { preferred_username: "a\u001b[31m", name: "Ada" }],
    ["ada", { preferred_username: "" }],
  ])("is called %s with %j", async (name, claims) => {
    expect(await claimsOf(start(), claims)).toMatchObject({ name });
  });
});

describe("G-04: a provider's discovery", () => {
  it.each([
    ["another issuer", { issuer: "https://evil.test" }, "the discovery document is of another issuer"],
    ["no key set", { jwks_uri: undefined }, "the discovery document names no key set over https"],
    [
      "a key set without TLS",
      { jwks_uri: "http://127.0.0.2:1/jwks" },
      "the discovery document names no key set over https",
    ],
    ["a key set in a file", { jwks_uri: "file:///etc/passwd" }, "the discovery document names no key set over https"],
  ])("that names %s is not believed", async (_, over, fault) => {
    double.answer = (path, response) => {
      if (!path.endsWith("configuration")) return false;
      response.end(JSON.stringify({ issuer: double.issuer, jwks_uri: `${double.issuer}/jwks`, ...over }));
      return true;
    };
    const provider = start();
    expect(await outcomeOf(provider, await double.token())).toBe("unavailable");
    expect(faults).toEqual([fault]);
    expect(() => provider.check()).toThrow();
    expect(double.asked).not.toContain("/jwks");
  });

  it.each([
    ["redirects", 302, "", "the answer has the status 302"],
    ["fails", 500, "", "the answer has the status 500"],
    ["is no JSON", 200, "<html>secret</html>", "the answer is not JSON"],
    ["is too large", 200, `"${"x".repeat(1024 * 1024)}"`, "the answer is too large"],
  ])("that %s is not believed, nor quoted", async (_, status, body, fault) => {
    double.answer = (_path, response) => {
      response.writeHead(status, { location: `${double.issuer}/other` }).end(body);
      return true;
    };
    expect(await outcomeOf(start(), await double.token())).toBe("unavailable");
    expect(faults).toEqual([fault]);
    expect(double.asked).not.toContain("/other");
  });

  it("is ready when the keys are there, and asks for nothing that is not needed", async () => {
    const provider = start();
    expect(await outcomeOf(provider, await double.token())).toBe("verified");
    expect(() => provider.check()).not.toThrow();
    for (let index = 0; index < 100; index += 1) await outcomeOf(provider, await double.token({ n: index }));
    expect(double.asked).toEqual(["/.well-known/openid-configuration", "/jwks"]);
  });
});

describe("G-04: a provider that changes its keys", () => {
  it("is followed with the first token of the new key, and what the old one signed ends with it", async () => {
    const provider = start();
    const old = await double.token();
    expect(await outcomeOf(provider, old)).toBe("verified");
    double.addKey("new", "RS256");
    double.removeKey("rsa");
    now += 10_000;
    expect(await outcomeOf(provider, await double.token({}, { kid: "new" }))).toBe("verified");
    expect(await outcomeOf(provider, old)).toBe("key");
  });

  it("and is away vouches for nothing after an hour, for what was verified before neither", async () => {
    const token = await double.token({ exp: seconds() + 7200 });
    double.answer = (_path, response) => response.writeHead(503).end() !== undefined;
    const provider = start();
    expect(await outcomeOf(provider, token)).toBe("unavailable");
    double.answer = () => false;
    now += 10_000;
    expect(await outcomeOf(provider, token)).toBe("verified");
    now += hour - 1;
    expect(await outcomeOf(provider, token)).toBe("verified");
    double.answer = (_path, response) => response.writeHead(503).end() !== undefined;
    now += 1;
    expect(await outcomeOf(provider, token)).toBe("unavailable");
    expect(() => provider.check()).toThrow();
  });
});
