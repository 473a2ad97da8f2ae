import { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { organizations, type ServiceName, startSuite, type TestSuite, topologies } from "../suite/start-suite.ts";
import { connect } from "../suite/test-sandbox.ts";
import { startProvider, type TestProvider } from "./start-provider.ts";

const claims = {
  nobody: {},
  developer: { realm_access: { roles: ["dev"] } },
  administrator: { realm_access: { roles: ["boss"] } },
};

describe.each(topologies)("G-04: users of a real OpenID provider, %s", (topology) => {
  let provider: TestProvider;
  let suite: TestSuite;
  /** What the suite's clock is ahead. */
  let aheadMs = 0;
  const channels = new Map<ServiceName, Channel>();

  beforeAll(async () => {
    provider = await startProvider({
      organizationId: organizations.own,
      programs: Object.keys(claims),
      claims,
      accessTokenSeconds: 7200,
    });
    suite = await startSuite(topology, { oidc: [provider.settings], clock: () => Date.now() + aheadMs, quiet: true });
    for (const service of ["auth", "sandbox", "policy"] as const)
      channels.set(service, connect(suite, service, suite.address(service, "edge")));
  });
  afterAll(async () => {
    for (const channel of channels.values()) channel.close();
    await suite.stop();
    await provider.end();
  });

  const channel = (service: ServiceName): Channel => {
    const found = channels.get(service);
    if (found === undefined) throw new Error("no channel");
    return found;
  };
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const whoIs = (token: string) => createClient(AuthService, channel("auth")).getPrincipal({}, bearer(token));
  /** A call to each service; "OK", or why it was refused. */
  const outcomes = (token: string) =>
    Promise.all(
      [
        () => createClient(AuthService, channel("auth")).getPrincipal({}, bearer(token)),
        () => createClient(SandboxService, channel("sandbox")).listSandboxes({}, bearer(token)),
        () => createClient(PolicyService, channel("policy")).listAuditEvents({}, bearer(token)),
      ].map(async (call) => {
        try {
          await call();
          return "OK";
        } catch (thrown) {
          if (thrown instanceof ServiceError) return thrown.reason;
          throw thrown;
        }
      }),
    );
  /** The readiness checks with these words in their names that do not pass. */
  const failing = async (words: RegExp): Promise<readonly string[]> => {
    const checks = [...suite.checks.values()].flatMap((ofProgram) => Object.entries(ofProgram));
    const results = await Promise.allSettled(checks.map(async ([, check]) => check()));
    return checks.flatMap(([name], at) => (words.test(name) && results[at]?.status === "rejected" ? [name] : []));
  };
  /** Moves the suite's clock, and waits for revocation data of the new time: a heartbeat comes every second. */
  const moveClock = async (ms: number): Promise<void> => {
    aheadMs += ms;
    await expect.poll(() => failing(/trust/), { timeout: 10_000 }).toEqual([]);
  };

  it.each([
    ["nobody", Role.VIEWER],
    ["developer", Role.OPERATOR],
    ["administrator", Role.ADMIN],
  ] as const)("a program is what the provider says: %s is %i", async (program, role) => {
    const { subject, authenticator } = await whoIs(await provider.programToken(program));
    expect(authenticator).toBe("oidc-user");
    expect(subject).toMatchObject({
      case: "user",
      value: { organizationId: organizations.own, role, active: true, name: program },
    });
  });

  it("every service takes the token, and asks for the role", async () => {
    expect(await outcomes(await provider.programToken("developer"))).toEqual(["OK", "OK", "OK"]);
    expect(await outcomes(await provider.programToken("nobody"))).toEqual(["OK", "OK", "ROLE_TOO_LOW"]);
  });

  it("who has never been seen before may begin at any service, and owns what it makes", async () => {
    const token = await provider.forge({ sub: "newcomer", ...claims.developer });
    const sandboxes = createClient(SandboxService, channel("sandbox"));
    const { sandbox } = await sandboxes.createSandbox(
      { requestId: crypto.randomUUID(), name: "of-a-newcomer" },
      bearer(token),
    );
    const { subject } = await whoIs(token);
    expect(subject.case).toBe("user");
    expect(sandbox?.ownerUserId).toBe(subject.case === "user" ? subject.value.userId : "");
  });

  it("a role that was taken away is gone with the next token, and the old token with it", async () => {
    const issued = Math.floor(Date.now() / 1000);
    const old = await provider.forge({ sub: "demoted", ...claims.developer, iat: issued - 10 });
    expect(await outcomes(old)).toEqual(["OK", "OK", "OK"]);
    const next = await provider.forge({ sub: "demoted", iat: issued - 5 });
    expect(await outcomes(next)).toEqual(["OK", "OK", "ROLE_TOO_LOW"]);
    await expect.poll(() => outcomes(old)).toEqual(Array(3).fill("CREDENTIAL_REVOKED"));
  });

  it("goes on with new keys from the first token on, without a refusal of what the old one signed", async () => {
    const old = await provider.programToken("developer");
    await provider.rollOver({ keepOld: true });
    await moveClock(10_000);
    const next = await provider.programToken("developer");
    expect(await outcomes(next)).toEqual(["OK", "OK", "OK"]);
    expect(await outcomes(old)).toEqual(["OK", "OK", "OK"]);
    await provider.rollOver({ keepOld: false });
    await moveClock(10_000);
    expect(await outcomes(await provider.programToken("developer"))).toEqual(["OK", "OK", "OK"]);
    expect(await outcomes(next)).toEqual(Array(3).fill("CREDENTIAL_REJECTED"));
  });

  it.each(["is away", "hangs"] as const)("goes on while the provider %s, and lets in no new key", async (what) => {
    const token = await provider.programToken("developer");
    if (what === "hangs") provider.hang();
    else await provider.end();
    try {
      await moveClock(10_000);
      expect(await outcomes(token)).toEqual(["OK", "OK", "OK"]);
      const [header = "", payload = "", signature = ""] = token.split(".");
      const fields = JSON.parse(Buffer.from(header, "base64url").toString()) as object;
      const unknown = Buffer.from(JSON.stringify({ ...fields, kid: "new" })).toString("base64url");
      expect(await outcomes(`${unknown}.${payload}.${signature}`)).toEqual(
        Array(3).fill("IDENTITY_PROVIDER_UNAVAILABLE"),
      );
      expect(await failing(/oidc/)).toEqual([]);
    } finally {
      if (what === "hangs") provider.goOn();
      else await provider.restart();
    }
  });

  it("after an hour without the provider refuses its users, says so, and recovers by itself", async () => {
    const token = await provider.programToken("developer");
    await provider.end();
    await moveClock(3_600_000);
    expect(await outcomes(token)).toEqual(Array(3).fill("IDENTITY_PROVIDER_UNAVAILABLE"));
    const check = topology === "all in one" ? "auth_oidc_example" : "oidc_example";
    expect(new Set(await failing(/oidc/))).toEqual(new Set([check]));
    await provider.restart();
    await expect.poll(() => outcomes(token), { timeout: 15_000 }).toEqual(["OK", "OK", "OK"]);
    expect(await failing(/oidc/)).toEqual([]);
  });
});
