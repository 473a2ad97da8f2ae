import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AuthService, SigningKeyState } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createEgressProxyModule, defaultLimits, type EgressProxyModule, newDecisionId } from "@sandgate/egress-proxy";
import { createCsr, createKeyPair } from "@sandgate/pki";
import { type CertificateFiles, loadCertificateAuthority } from "@sandgate/pki/authority";
import { type Channel, type Client, createClient, ServiceError } from "@sandgate/rpc";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { requestThroughProxy } from "../../scripts/demo/proxy-request.ts";
import { type ServiceName, startSuite, type TestSuite, trustDomain, users } from "./suite/start-suite.ts";
import { connect, createTestSandbox, enrolmentChannel, type TestSandbox } from "./suite/test-sandbox.ts";

/** Auth twice, Sandbox, Policy and an egress proxy, each reached over mutual TLS, with a load of every kind of token. */
let suite: TestSuite;
let replica: Awaited<ReturnType<TestSuite["startAuthReplica"]>>;
let proxy: EgressProxyModule;
let auths: readonly Client<typeof AuthService>[];
let operator: Channel;
const channels: Channel[] = [];

const keep = (channel: Channel): Channel => {
  channels.push(channel);
  return channel;
};
const pair = async (files: CertificateFiles) => ({
  certificatePem: await readFile(files.certificateFile, "utf8"),
  keyPem: await readFile(files.keyFile, "utf8"),
});
const adminIdentity = async () => {
  const authority = await loadCertificateAuthority(await pair(suite.pki.operatorAuthority));
  const { publicKey, privateKey } = createKeyPair();
  const now = Date.now();
  const user = { trustDomain, userId: users.admin, publicKey, notAfter: now + 3_600_000, now };
  const { pem } = await authority.issueOperatorCertificate(user);
  return { certificatePem: pem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
};
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString("utf8")).kid;

beforeAll(async () => {
  suite = await startSuite("over mutual TLS", { publishSeconds: 1 });
  replica = await suite.startAuthReplica();
  const admin = await adminIdentity();
  operator = keep(connect(suite, "sandbox", suite.address("sandbox", "mtls"), admin));
  auths = [
    createClient(AuthService, keep(connect(suite, "auth", suite.address("auth", "mtls"), admin))),
    createClient(AuthService, keep(connect(suite, "auth", replica.mtls, admin))),
  ];
  const asProxy = await pair(suite.pki.services["egress-proxy"]);
  proxy = createEgressProxyModule({
    auth: createClient(AuthService, keep(connect(suite, "auth", suite.address("auth", "mtls"), asProxy))),
    policy: createClient(PolicyService, keep(connect(suite, "policy", suite.address("policy", "mtls"), asProxy))),
    trustDomain,
    egressDirectory: suite.egressDirectory,
    limits: defaultLimits,
    developmentOrigins: [],
    ownPorts: new Set(),
    clock: Date.now,
    newDecisionId,
    logger: createLogger({ service: "egress-proxy", level: "error" }),
    registry: createMetrics(),
  });
  await proxy.start();
});
afterAll(async () => {
  for (const channel of channels) channel.close();
  await proxy.stop();
  await replica.stop();
  await suite.stop();
});

/** A sandbox whose supervisor the test plays, with everything that it holds. */
class Supervisor {
  readonly sandbox: TestSandbox;
  readonly auth: Client<typeof AuthService>;
  readonly #sandboxService: Client<typeof SandboxService>;
  readonly #socket: string;
  token: string;
  egressToken = "";

  constructor(sandbox: TestSandbox) {
    this.sandbox = sandbox;
    this.token = sandbox.token;
    this.#socket = join(suite.egressDirectory, sandbox.id, "egress.sock");
    const control = (service: ServiceName) =>
      keep(connect(suite, service, suite.socket(service, sandbox.id, "control"), sandbox));
    this.auth = createClient(AuthService, control("auth"));
    this.#sandboxService = createClient(SandboxService, control("sandbox"));
  }

  static async create(name: string): Promise<Supervisor> {
    const supervisor = new Supervisor(await createTestSandbox(suite, operator, name));
    mkdirSync(join(suite.egressDirectory, supervisor.sandbox.id), { recursive: true });
    await supervisor.renewEgress();
    await vi.waitFor(async () => expect(await supervisor.askProxy(supervisor.egressToken)).toBe(403), 10_000);
    return supervisor;
  }

  async refresh(): Promise<void> {
    const { credentials } = await this.auth.refreshSandboxToken({ sandboxId: this.sandbox.id }, bearer(this.token));
    this.token = credentials?.token ?? "";
  }
  async renewEgress(): Promise<void> {
    const { token } = await this.auth.issueEgressToken({ sandboxId: this.sandbox.id }, bearer(this.token));
    this.egressToken = token;
  }
  /** The status of the proxy's answer: 403, by policy, to whom it knows. */
  async askProxy(token: string): Promise<number> {
    return (await requestThroughProxy({ socket: this.#socket, url: "http://nowhere.example/", token })).status;
  }
  /** What Auth and Sandbox say to a session token. */
  async present(token: string): Promise<void> {
    await this.auth.getPrincipal({}, bearer(token));
    await this.#sandboxService.getSandboxConfig({ sandboxId: this.sandbox.id }, bearer(token));
  }
}

it("G-08 two rotations under a load of every kind of token refuse no valid one", async () => {
  const supervisors = await Promise.all(["one", "two", "three"].map((name) => Supervisor.create(name)));
  const edge = keep(connect(suite, "policy", suite.address("policy", "edge")));
  const asUser = createClient(PolicyService, edge);
  const refusals: string[] = [];
  const kids = { egress: new Set<string>(), user: new Set<string>(), session: new Set<string>() };
  let calls = 0;
  let over = false;
  const attempt = async (what: string, call: () => Promise<unknown>): Promise<void> => {
    calls += 1;
    try {
      await call();
    } catch (thrown) {
      refusals.push(`${what}: ${thrown instanceof ServiceError ? thrown.reason : String(thrown)}`);
    }
  };
  const listDecisions = (token: string) =>
    attempt("user", () => asUser.listAuditEvents({ pageSize: 1 }, bearer(token)));
  const askProxy = (supervisor: Supervisor, token: string) =>
    attempt("egress", async () => {
      const status = await supervisor.askProxy(token);
      if (status !== 403) throw new Error(String(status));
    });

  const asSupervisor = async (supervisor: Supervisor): Promise<void> => {
    const firstEgressToken = supervisor.egressToken;
    while (!over) {
      await attempt("session", () => supervisor.present(supervisor.token));
      await attempt("refresh", () => supervisor.refresh());
      kids.session.add(kidOf(supervisor.token));
      await attempt("issue egress", () => supervisor.renewEgress());
      kids.egress.add(kidOf(supervisor.egressToken));
      await askProxy(supervisor, supervisor.egressToken);
      await askProxy(supervisor, firstEgressToken);
    }
  };
  const asUserOf = async (auth: Client<typeof AuthService>): Promise<void> => {
    const { token: first } = await auth.createUserToken({});
    while (!over) {
      await attempt("issue user", async () => {
        const { token } = await auth.createUserToken({});
        kids.user.add(kidOf(token));
        await listDecisions(token);
      });
      await listDecisions(first);
    }
  };
  // a bootstrap credential from before the rotations, used after them
  const { sandbox: late } = await createClient(SandboxService, operator).createSandbox({
    requestId: crypto.randomUUID(),
    name: "late",
  });
  const start = await suite.driver.startOf(late?.id ?? "");

  const load = [...supervisors.map(asSupervisor), ...auths.map(asUserOf)];
  const [auth, other] = auths;
  if (auth === undefined || other === undefined) throw new Error("there are two");
  const generation = (count: number) =>
    vi.waitFor(() => expect([kids.user.size, kids.egress.size, kids.session.size]).toEqual([count, count, count]), {
      timeout: 15_000,
      interval: 20,
    });
  await generation(1);
  expect((await auth.rotateSigningKeys({})).rotated).toBe(true);
  await generation(2);
  expect((await other.rotateSigningKeys({})).rotated).toBe(true);
  await generation(3);
  const callsBefore = calls;
  await vi.waitFor(() => expect(calls).toBeGreaterThan(callsBefore + 50), 10_000);
  over = true;
  await Promise.all(load);
  const enrol = keep(enrolmentChannel(suite, start.sandboxId));
  await attempt("bootstrap", () =>
    createClient(AuthService, enrol).issueSandboxToken(
      { sandboxId: start.sandboxId, certificateSigningRequest: createCsr(createKeyPair()) },
      bearer(start.bootstrapToken),
    ),
  );
  expect(refusals).toEqual([]);
});

it("G-08 two replicas have the same keys, and say so", async () => {
  const [one, two] = await Promise.all(auths.map((auth) => auth.listSigningKeys({})));
  expect(one?.keys).toEqual(two?.keys);
  const current = one?.keys.filter(({ state }) => state === SigningKeyState.CURRENT).map(({ algorithm }) => algorithm);
  expect(current).toEqual([...new Set(one?.keys.map(({ algorithm }) => algorithm))]);
});

it("G-15 a revoked key's tokens are refused everywhere within a second of the answer, and new ones are taken", async () => {
  const supervisor = await Supervisor.create("four");
  const { token: session, egressToken } = supervisor;
  const [auth, other] = auths;
  if (auth === undefined || other === undefined) throw new Error("there are two");
  const { token: user } = await auth.createUserToken({});
  const control = createClient(
    SandboxService,
    keep(connect(suite, "sandbox", suite.socket("sandbox", supervisor.sandbox.id, "control"), supervisor.sandbox)),
  );
  const hello = { case: "hello", value: { incarnation: supervisor.sandbox.incarnation, version: "test" } } as const;
  const opened = Promise.withResolvers<void>();
  const cut = (async () => {
    const requests = (async function* () {
      yield { sandboxId: supervisor.sandbox.id, message: hello };
      opened.resolve();
      await new Promise<void>(() => {});
    })();
    for await (const _command of control.connectSupervisor(requests, bearer(session)));
  })().then(
    () => "ended",
    (thrown: unknown) => (thrown instanceof ServiceError ? thrown.reason : String(thrown)),
  );
  await opened.promise;

  await auth.revokeSigningKey({ kid: kidOf(session), reason: "a test" });
  await other.revokeSigningKey({ kid: kidOf(egressToken), reason: "a test" });
  const revokedAt = performance.now();
  const reasonOf = async (call: Promise<unknown>): Promise<string> => {
    try {
      await call;
      return "OK";
    } catch (thrown) {
      if (thrown instanceof ServiceError) return thrown.reason;
      throw thrown;
    }
  };
  const onReplica = createClient(AuthService, keep(connect(suite, "auth", replica.mtls, supervisor.sandbox)));
  const edge = keep(connect(suite, "policy", suite.address("policy", "edge")));
  await vi.waitFor(
    async () =>
      expect(
        await Promise.all([
          reasonOf(supervisor.present(session)),
          reasonOf(control.getSandboxConfig({ sandboxId: supervisor.sandbox.id }, bearer(session))),
          reasonOf(onReplica.getPrincipal({}, bearer(session))),
          reasonOf(createClient(PolicyService, edge).listAuditEvents({}, bearer(user))),
          supervisor.askProxy(egressToken),
        ]),
      ).toEqual(["CREDENTIAL_REJECTED", "CREDENTIAL_REJECTED", "CREDENTIAL_REJECTED", "CREDENTIAL_REJECTED", 407]),
    { timeout: 5_000, interval: 5 },
  );
  expect(performance.now() - revokedAt).toBeLessThan(1_000);
  expect(await cut).toBe("CREDENTIAL_REVOKED");
  const { token: fresh } = await other.createUserToken({});
  await createClient(PolicyService, edge).listAuditEvents({}, bearer(fresh));
});
