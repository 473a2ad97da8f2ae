import { readFileSync } from "node:fs";
import { AuthService, type UserSession } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createKeyPair } from "@sandgate/pki";
import { loadCertificateAuthority } from "@sandgate/pki/authority";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  organizations,
  type ServiceName,
  startSuite,
  type TestSuite,
  topologies,
  trustDomain,
  users,
} from "./suite/start-suite.ts";
import { connect } from "./suite/test-sandbox.ts";

const password = "correct horse battery";
/** G-15: so soon everybody must know. */
const withinMs = 1_000;

describe.each(topologies.map((topology) => ({ topology })))("users, $topology", ({ topology }) => {
  let suite: TestSuite;
  const channels = new Map<ServiceName, Channel>();
  let admin: Channel;
  const edge = (service: ServiceName): Channel => {
    const channel = channels.get(service) ?? connect(suite, service, suite.address(service, "edge"));
    channels.set(service, channel);
    return channel;
  };
  const auth = () => createClient(AuthService, edge("auth"));
  const asAdmin = () => createClient(AuthService, admin);

  beforeAll(async () => {
    suite = await startSuite(topology);
    const authority = await loadCertificateAuthority({
      certificatePem: readFileSync(suite.pki.operatorAuthority.certificateFile, "utf8"),
      keyPem: readFileSync(suite.pki.operatorAuthority.keyFile, "utf8"),
    });
    const { publicKey, privateKey } = createKeyPair();
    const now = Date.now();
    const leaf = await authority.issueOperatorCertificate({
      trustDomain,
      userId: users.admin,
      publicKey,
      notAfter: now + 3_600_000,
      now,
    });
    const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    admin = connect(suite, "auth", suite.address("auth", "mtls"), { certificatePem: leaf.pem, keyPem });
  });
  afterAll(async () => {
    for (const channel of [admin, ...channels.values()]) channel.close();
    await suite.stop();
  });

  async function createUser(role: Role): Promise<{ login: string; session: UserSession }> {
    const login = `${crypto.randomUUID()}@example.test`;
    const { token } = await asAdmin().inviteUser({ login, role });
    const { session } = await auth().acceptInvitation({ token, password });
    if (session === undefined) throw new Error("no session");
    return { login, session };
  }
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  /** What each service answers to a token. */
  const outcomes = (token: string): Promise<readonly string[]> =>
    Promise.all([
      outcomeOf(auth().getPrincipal({}, bearer(token))),
      outcomeOf(createClient(SandboxService, edge("sandbox")).listSandboxes({}, bearer(token))),
      outcomeOf(createClient(PolicyService, edge("policy")).listAuditEvents({}, bearer(token))),
    ]);
  /** How long until every service gives these answers. */
  async function untilOutcomes(token: string, expected: readonly string[]): Promise<number> {
    const startedAt = performance.now();
    for (;;) {
      const got = await outcomes(token);
      const tookMs = performance.now() - startedAt;
      if (JSON.stringify(got) === JSON.stringify(expected)) return tookMs;
      if (tookMs > 10 * withinMs) throw new Error(`after ${tookMs.toFixed(0)} ms still ${got.join(", ")}`);
    }
  }
  /** A stream of the sandboxes' service that is open. */
  async function openStream(token: string): Promise<{ readonly ended: Promise<string> }> {
    const client = createClient(SandboxService, edge("sandbox"));
    const { sandbox } = await client.createSandbox(
      { requestId: crypto.randomUUID(), name: `s-${crypto.randomUUID().slice(0, 8)}` },
      bearer(token),
    );
    const stream = client.watchSandbox({ sandbox: sandbox?.id ?? "" }, bearer(token))[Symbol.asyncIterator]();
    await stream.next();
    const drain = async (): Promise<void> => {
      while (!(await stream.next()).done);
    };
    return { ended: outcomeOf(drain()) };
  }
  const all = (reason: string) => [reason, reason, reason];
  const rejected = all("CREDENTIAL_REVOKED");

  it("a user who logs in is known to every service", async () => {
    const { login } = await createUser(Role.OPERATOR);
    const { session } = await auth().login({ login: login.toUpperCase(), password });
    const token = session?.accessToken ?? "";
    expect(await outcomes(token)).toEqual(all("OK"));
    const { authenticator, subject } = await auth().getPrincipal({}, bearer(token));
    expect({ authenticator, subject }).toMatchObject({
      authenticator: "user-session",
      subject: { value: { organizationId: organizations.own, role: Role.OPERATOR } },
    });
  });

  it("G-25: a sandbox is its creator's; another organization does not find it", async () => {
    const { session } = await createUser(Role.OPERATOR);
    const { session: foreign } = await auth().signUp({
      login: `${crypto.randomUUID()}@example.test`,
      password,
      organizationName: "elsewhere",
    });
    const client = createClient(SandboxService, edge("sandbox"));
    const { sandbox } = await client.createSandbox(
      { requestId: crypto.randomUUID(), name: "mine" },
      bearer(session.accessToken),
    );
    expect(sandbox).toMatchObject({ ownerUserId: session.user?.userId });
    const theirs = bearer(foreign?.accessToken ?? "");
    for (const named of ["mine", sandbox?.id ?? ""])
      expect(await outcomeOf(client.getSandbox({ sandbox: named }, theirs))).toBe("SANDBOX_NOT_FOUND");
    expect((await client.listSandboxes({}, theirs)).sandboxes).toEqual([]);
  });

  it("G-15: after a logout every service refuses the session within a second, and streams are cut", async () => {
    const { login, session } = await createUser(Role.OPERATOR);
    const { session: other } = await auth().login({ login, password });
    const stream = await openStream(session.accessToken);
    await auth().logout({ refreshToken: session.refreshToken });
    expect(await untilOutcomes(session.accessToken, rejected)).toBeLessThan(withinMs);
    expect(await stream.ended).toBe("CREDENTIAL_REVOKED");
    expect(await outcomes(other?.accessToken ?? "")).toEqual(all("OK"));
  });

  it("G-15: so it is when the user is disabled", async () => {
    const { login, session } = await createUser(Role.OPERATOR);
    const stream = await openStream(session.accessToken);
    expect(await outcomes(session.accessToken)).toEqual(all("OK"));
    await asAdmin().disableUser({ user: login });
    expect(await untilOutcomes(session.accessToken, rejected)).toBeLessThan(withinMs);
    expect(await stream.ended).toBe("CREDENTIAL_REVOKED");
  });

  it("G-15: and when a refresh token comes back that was used", async () => {
    const { session } = await createUser(Role.OPERATOR);
    const refresh = () =>
      auth().refreshUserSession({ refreshToken: session.refreshToken, requestId: crypto.randomUUID() });
    const { session: second } = await refresh();
    expect(await outcomeOf(refresh())).toBe("REFRESH_TOKEN_REUSED");
    expect(await untilOutcomes(second?.accessToken ?? "", rejected)).toBeLessThan(withinMs);
  });

  it("G-15: another role counts within a second, and streams are opened anew under it", async () => {
    const { login, session } = await createUser(Role.OPERATOR);
    const stream = await openStream(session.accessToken);
    await asAdmin().setUserRole({ user: login, role: Role.VIEWER });
    const asViewer = ["OK", "OK", "ROLE_TOO_LOW"];
    expect(await untilOutcomes(session.accessToken, asViewer)).toBeLessThan(withinMs);
    expect(await stream.ended).toBe("CREDENTIAL_REVOKED");
  });

  it("G-15: an API key has no more than its role, and is refused within a second of its revocation", async () => {
    const { session } = await createUser(Role.OPERATOR);
    const mine = bearer(session.accessToken);
    const { apiKey, secret } = await auth().createApiKey({ name: "ci", role: Role.VIEWER }, mine);
    const { accessToken } = await auth().exchangeApiKey({ secret });
    expect(await outcomes(accessToken)).toEqual(["OK", "OK", "ROLE_TOO_LOW"]);
    expect((await auth().getPrincipal({}, bearer(accessToken))).authenticator).toBe("api-key");
    expect(await outcomes(secret)).toEqual(all("CREDENTIAL_REJECTED"));
    await auth().revokeApiKey({ apiKeyId: apiKey?.apiKeyId ?? "" }, mine);
    expect(await untilOutcomes(accessToken, rejected)).toBeLessThan(withinMs);
    expect(await outcomeOf(auth().exchangeApiKey({ secret }))).toBe("CREDENTIAL_REJECTED");
  });
});

async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown.reason;
    throw thrown;
  }
}
